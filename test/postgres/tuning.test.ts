/**
 * The rendered postgresql.conf on a real PostgreSQL 17: it starts, and pg_settings shows what was meant. Machines that are
 * bigger than this one are checked without starting (`postgres -C`). Cannot prove that the values are good ones.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { renderConf } from "../../plan/render/postgresql.ts";
import { type Settings, settingValue, tune } from "../../plan/tuning/index.ts";
import { parseValue } from "../../plan/tuning/parameters.ts";
import type { TuningInput } from "../../plan/tuning/types.ts";
import { type Disk, gib, mib, type Workload } from "../../plan/types.ts";
import { inputFor } from "../support/tuning.ts";

const IMAGE = process.env.PGLADDER_TEST_IMAGE;

function whyNot(): string | undefined {
  if (!IMAGE) return "PGLADDER_TEST_IMAGE is not set";
  const { status, error } = spawnSync("docker", ["image", "inspect", IMAGE], { stdio: "ignore" });
  if (error) return "no docker command";
  return status === 0 ? undefined : `docker has no image ${IMAGE}, or does not run`;
}

const missing = whyNot();
if (missing) console.log(`not run: tuning on a real PostgreSQL: ${missing}`);

const BIN = "/usr/lib/postgresql/17/bin";

/** Makes a cluster with checksums and a certificate, and takes the settings from standard input. */
const PREPARE = `
set -e
export PATH=${BIN}:$PATH PGDATA=/t/data PGHOST=/t
initdb -k -A trust --no-sync --locale=C.UTF-8 -E UTF8 >/t/log 2>&1 || { cat /t/log >&2; exit 1; }
openssl req -new -x509 -nodes -newkey rsa:2048 -subj /CN=test -keyout /t/data/server.key -out /t/data/server.crt >/t/log 2>&1
chmod 600 /t/data/server.key
cat > /t/data/postgresql.conf
`;
const START = `${PREPARE}
pg_ctl -w -l /t/server.log -o "-c unix_socket_directories=/t -c listen_addresses=127.0.0.1" start >/dev/null 2>&1 || { cat /t/server.log >&2; exit 1; }
psql -XAt -h 127.0.0.1 -d postgres -c "select json_build_object('wrong', (select json_agg(name || ': ' || error) from pg_file_settings where error is not null),
  'settings', (select json_object_agg(name, setting) from pg_settings))"
pg_ctl -m immediate stop >/dev/null
`;
const CHECK = `${PREPARE}
postgres -C shared_memory_size 2>/t/log || { cat /t/log >&2; exit 1; }
`;

function inContainer(script: string, input: string): string {
  const size = ["--tmpfs", "/t:rw,mode=1777", "--shm-size", "256m", "--network", "none"];
  return execFileSync("docker", ["run", "--rm", "-i", "--user", "postgres", ...size, "--entrypoint", "bash", IMAGE!, "-c", script], {
    input,
    encoding: "utf8",
  });
}

/** Only the libraries that the image has: trial images lack some, no image of Debian alone has Citus. */
function withInstalled(settings: Settings): Settings {
  const files = inContainer("ls /usr/lib/postgresql/17/lib", "").split("\n");
  const has = (library: string) => files.includes(`${library}.so`);
  return settings
    .filter(({ name }) => !name.includes(".") || has(name.startsWith("cron.") ? "pg_cron" : name.split(".")[0]!))
    .map((setting) =>
      setting.name === "shared_preload_libraries" && setting.value.kind === "text"
        ? { ...setting, value: { kind: "text", value: setting.value.value.split(",").filter(has).join(",") } }
        : setting,
    );
}

const node = (cores: number, memory: number, serverConnections: number, workload: Workload = "oltp", disk: Disk = "ssd"): TuningInput =>
  inputFor({ machine: { cores, memory: gib(memory), storage: 200, disk }, serverConnections, workload, replicas: 1 });

describe.skipIf(missing !== undefined)("PostgreSQL 17", () => {
  test.each<[string, TuningInput]>([
    ["1 core, 1 GB, 20 connections, on a rotating disk", node(1, 1, 20, "web", "hdd")],
    ["stage 1", node(2, 4, 50)],
    ["stage 2", node(4, 8, 140)],
    ["db.m7g.xlarge's size, mixed", node(4, 16, 140, "mixed")],
    ["db.r7g.2xlarge's size, analytics on NVMe", node(8, 64, 170, "analytics", "nvme")],
    ["Citus' settings without its library", { ...node(4, 16, 140), citus: true }],
    [
      "with overrides",
      inputFor({ overrides: { work_mem: "5000kB", autovacuum_work_mem: "-1", log_line_prefix: "it's \\ %m ", geqo: "off" } }),
    ],
  ])("starts with the settings of %s, and shows them", (_, input) => {
    const settings = withInstalled(tune(input));
    const { wrong, settings: real } = JSON.parse(inContainer(START, renderConf(settings)));
    expect(wrong).toBeNull();
    const seen = Object.fromEntries(settings.map(({ name }) => [name, parseValue(name, real[name] ?? "missing")]));
    expect(seen).toEqual(Object.fromEntries(settings.map(({ name, value }) => [name, value])));
    const memoryOf = (name: string) => {
      const value = settingValue(settings, name);
      return value.kind === "memory" ? value.kib : Number.NaN;
    };
    const fixed = Number(real.shared_memory_size) * mib(1) - memoryOf("shared_buffers") - memoryOf("wal_buffers");
    expect(fixed).toBeLessThan(Math.max(input.machine.memory / 10, mib(128)) / 2);
  });

  test.each<[string, TuningInput]>([
    ["db.r7g.4xlarge's size", node(16, 128, 220)],
    ["128 cores, 1 TB, 5,000 connections", node(128, 1024, 5_000)],
  ])("accepts the settings of %s", (_, input) => {
    const sharedMemory = Number(inContainer(CHECK, renderConf(withInstalled(tune(input)))).trim()) * mib(1);
    expect(sharedMemory).toBeGreaterThan(input.machine.memory / 4);
    expect(sharedMemory).toBeLessThan(input.machine.memory * 0.3);
  });
});
