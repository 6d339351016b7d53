/** PGTune's and RDS' figures, `ladder tune`, and its page in docs. Cannot prove that PGTune has not changed since. */
import { expect, test } from "vitest";
import { parseSize, type TuneArgs, tuneCommand } from "../../cli/tune.ts";
import { tune } from "../../plan/tuning/index.ts";
import { tuningPage } from "../../plan/tuning/page.ts";
import { pgtune } from "../../plan/tuning/pgtune.ts";
import { rdsDefaults } from "../../plan/tuning/rds-defaults.ts";
import type { SettingValue } from "../../plan/tuning/types.ts";
import { showValue } from "../../plan/tuning/values.ts";
import { gib, InputError, type Workload } from "../../plan/types.ts";
import { inputFor, STAGE_1 } from "../support/tuning.ts";

const all = (values: Readonly<Record<string, SettingValue>>) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, showValue(value)]));
const machine = (cores: number, memory: number) => ({ cores, memory: gib(memory), storage: 100, disk: "ssd" as const });

test("PGTune, 2 cores and 4 GB, OLTP, 50 connections", () => {
  expect(all(pgtune(inputFor()))).toEqual({
    max_connections: "50",
    shared_buffers: "1GB",
    effective_cache_size: "3GB",
    maintenance_work_mem: "256MB",
    work_mem: "18078kB",
    wal_buffers: "16MB",
    min_wal_size: "2GB",
    max_wal_size: "8GB",
    checkpoint_completion_target: "0.9",
    default_statistics_target: "100",
    random_page_cost: "1.1",
    effective_io_concurrency: "200",
    huge_pages: "off",
    wal_compression: "lz4",
    jit: "off",
  });
});

test.each<[Workload, number, number, string]>([
  ["analytics", 32, 128, "8GB 4GB 16GB 4 500 16 4 5 2GB undefined"],
  ["mixed", 8, 32, "2GB 1GB 4GB 1.1 100 4 4 undefined 2GB off"],
  ["web", 4, 8, "512MB 1GB 4GB 1.1 100 2 2 undefined undefined off"],
])("PGTune, %s, %i cores and %i GB", (workload, cores, memory, expected) => {
  const names = ["maintenance_work_mem", "min_wal_size", "max_wal_size", "random_page_cost", "default_statistics_target"];
  const more = [
    "max_parallel_workers_per_gather",
    "max_parallel_maintenance_workers",
    "autovacuum_max_workers",
    "autovacuum_work_mem",
    "jit",
  ];
  const values = all(pgtune(inputFor({ workload, machine: machine(cores, memory) })));
  expect([...names, ...more].map((name) => String(values[name])).join(" ")).toBe(expected);
});

test("PGTune floors what cannot fit, where we refuse", () => {
  expect(all(pgtune(inputFor({ serverConnections: 9_999 }))).work_mem).toBe("4MB");
});

test("RDS defaults of a 4 GB and a 128 GB class", () => {
  const names = ["shared_buffers", "effective_cache_size", "maintenance_work_mem", "max_connections", "autovacuum_vacuum_cost_limit"];
  const pick = (values: Record<string, string>) => names.map((name) => values[name]).join(" ");
  expect(pick(all(rdsDefaults(STAGE_1)))).toBe("1GB 2GB 68759kB 450 200");
  expect(pick(all(rdsDefaults(machine(16, 128))))).toBe("32GB 64GB 2200290kB 5000 1606");
});

const ARGS: TuneArgs = {
  cores: "2",
  memory: "4GB",
  storage: "50",
  disk: "ssd",
  connections: "50",
  workload: "oltp",
  replicas: "0",
  format: "table",
};

test("table: one line a parameter, ours, theirs, and why", () => {
  const lines = tuneCommand(ARGS).split("\n");
  const cells = (name: string) => lines.find((line) => line.startsWith(`${name} `))?.split(/ {2,}/);
  expect(lines[0]?.split(/ +/)).toEqual(["parameter", "value", "PGTune", "RDS", "PostgreSQL", "restart", "reason"]);
  expect(cells("maintenance_work_mem")).toEqual([
    "maintenance_work_mem",
    "256MB",
    "256MB",
    "68759kB",
    "64MB",
    "-",
    "a sixteenth of 4GB, 64MB to 1GB: one index build at a time",
  ]);
  expect(cells("jit")).toEqual([
    "jit",
    "off",
    "off",
    "-",
    "on",
    "-",
    "compiling takes longer than a short query, and partitions multiply it",
  ]);
  expect(lines.slice(1).map((line) => line.split(" ")[0])).toEqual(tune(inputFor()).map(({ name }) => name));
});

test("conf, rds and json", () => {
  expect(tuneCommand({ ...ARGS, format: "conf" })).toContain("\nshared_buffers = '1GB'\n".trimStart());
  expect(JSON.parse(tuneCommand({ ...ARGS, format: "rds" }))).toContainEqual({
    name: "shared_buffers",
    value: "131072",
    applyMethod: "pending-reboot",
  });
  const json = JSON.parse(tuneCommand({ ...ARGS, format: "json" }));
  expect(json.parameters.work_mem).toBe("16MB");
  expect(json.comparison[0]).toMatchObject({
    name: "shared_buffers",
    value: "1GB",
    pgtune: "1GB",
    rds: "1GB",
    stock: "128MB",
    restart: true,
  });
});

test("all wrong options at once", () => {
  const wrong = {
    cores: "0",
    memory: "32",
    storage: "big",
    disk: "tape",
    connections: "1.5",
    workload: "x",
    replicas: "-1",
    format: "xml",
  };
  expect(() => tuneCommand(wrong)).toThrow(
    new InputError("ladder tune", [
      { path: "--cores", got: "0", want: "a whole number of at least 1" },
      { path: "--memory", got: "32", want: 'a size with its unit, such as "32GB" or "4096MB"' },
      { path: "--storage", got: "big", want: 'a size with its unit, such as "32GB" or "4096MB"' },
      { path: "--disk", got: "tape", want: "one of hdd, ssd, nvme" },
      { path: "--workload", got: "x", want: "one of web, oltp, mixed, analytics" },
      { path: "--connections", got: "1.5", want: "a whole number of at least 1" },
      { path: "--replicas", got: "-1", want: "a whole number of at least 0" },
      { path: "--format", got: "xml", want: "one of table, conf, rds, json" },
    ]),
  );
});

test.each([
  ["32GB", gib(32)],
  ["1.5 TB", gib(1536)],
  ["512mb", gib(0.5)],
  ["32", undefined],
  ["-1GB", undefined],
  ["GB", undefined],
])("parseSize(%s)", (text, expected) => {
  expect(parseSize(text)).toBe(expected);
});

test("docs/tuning.md is what the code says today", async () => {
  await expect(tuningPage()).toMatchFileSnapshot("../../docs/tuning.md");
});
