/**
 * What a pooler host runs at its first start: the script itself, with stand-ins for what only AWS and a real host have (`dnf`, `aws`,
 * `curl`, `systemctl`, `docker`). Cannot prove that Amazon Linux starts so; test/postgres/pooler-host.test.ts runs what is started.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BootInput, rdsAuthorities, renderBoot } from "../../plan/render/pooler-boot.ts";

const INPUT: BootInput = {
  region: "eu-west-1",
  image: "1.registry.test/pooler@sha256:0123",
  imageRegion: "us-east-1",
  processes: 2,
  parameter: "/dev/settings",
  secrets: ["app/password", "pooler/identity"],
  logGroup: "/pgladder/pooler",
  group: "pooler-group",
  hook: "pooler-hook",
  authorities: rdsAuthorities("aws"),
};

let folder: string;
/** Paths of the host, below this folder. */
let root: string;
let log: string;

/** Each stand-in writes what it was called with, then does what the test wants of it. */
const STUBS: Readonly<Record<string, string>> = {
  dnf: "",
  systemctl: "",
  sleep: "",
  docker:
    'case "$1 $2" in "image inspect") [ -e "$STATE/pulled" ] ;; "login --username") cat >/dev/null ;; pull*) touch "$STATE/pulled" ;; esac',
  curl: `case "$*" in
*latest/api/token*) echo token ;;
*meta-data/instance-id*) echo i-0123 ;;
*target-lifecycle-state*) echo x >>"$STATE/asked"; [ "$(wc -l <"$STATE/asked")" -ge 3 ] && echo Terminated || echo InService ;;
*global-bundle.pem*) echo authorities ;;
*) exit 1 ;;
esac`,
  aws: `case "$1 $2" in
"ssm get-parameter") gzip <"$STATE/settings" | base64 -w0 ;;
"secretsmanager batch-get-secret-value") cat "$STATE/secrets" ;;
"ecr get-login-password") echo secret ;;
"autoscaling complete-lifecycle-action") echo x >>"$STATE/completed"; [ "$(wc -l <"$STATE/completed")" -ge 2 ] ;;
esac`,
  // Owners need root.
  install: `args=()
while [ $# -gt 0 ]; do
  case "$1" in -o|-g) shift 2 ;; /etc/*|/usr/*) args+=("$ROOT$1"); shift ;; *) args+=("$1"); shift ;; esac
done
command -p install "\${args[@]}"`,
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgladder-boot-"));
  root = join(folder, "root");
  log = join(folder, "log");
  for (const path of ["bin", "root/etc/systemd/system", "root/usr/local/bin"]) mkdirSync(join(folder, path), { recursive: true });
  for (const [name, does] of Object.entries(STUBS)) {
    const path = join(folder, "bin", name);
    const note = name === "install" ? "" : `echo "${name} $*" >>"$LOG"\n`;
    writeFileSync(path, `#!/bin/bash\n${note}${does}\n`);
    chmodSync(path, 0o755);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const environment = (more: Record<string, string> = {}) => ({
  PATH: `${join(folder, "bin")}:${process.env.PATH}`,
  ROOT: root,
  STATE: folder,
  LOG: log,
  ...more,
});
const calls = () => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []);
const read = (path: string) => readFileSync(join(root, path), "utf8");
/** The host's variables, as systemd hands them to its units. */
const told = () =>
  Object.fromEntries(
    ["etc/pgladder-host.env", "etc/pgladder-instance.env"]
      .flatMap((path) => read(path).trim().split("\n"))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1).replaceAll('"', "")]),
  );
const script = (name: string) =>
  spawnSync(join(root, "usr/local/bin", name), {
    env: environment({ ...told(), PGLADDER_FOLDER: join(folder, "inputs") }),
    encoding: "utf8",
  });

describe("the first start", () => {
  beforeAll(() => {
    execFileSync("bash", ["-c", renderBoot(INPUT)], { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
  });

  test("installs Docker, writes scripts and units, and starts them", () => {
    expect(calls()[0]).toBe("dnf install --assumeyes docker");
    expect(calls().slice(-2)).toEqual([
      "systemctl daemon-reload",
      "systemctl enable --now docker pgladder-leaving.service pgladder-pooler.service pgladder-inputs.timer",
    ]);
    expect(readdirSync(join(root, "usr/local/bin")).sort()).toEqual(["pgladder-image", "pgladder-inputs", "pgladder-leaving"]);
    expect(readdirSync(join(root, "etc/systemd/system")).sort()).toEqual([
      "pgladder-inputs.service",
      "pgladder-inputs.timer",
      "pgladder-leaving.service",
      "pgladder-pooler.service",
    ]);
  });

  test("tells the host names only", () => {
    expect(told()).toEqual({
      AWS_DEFAULT_REGION: "eu-west-1",
      IMAGE: "1.registry.test/pooler@sha256:0123",
      IMAGE_REGION: "us-east-1",
      PARAMETER: "/dev/settings",
      SECRETS: "app/password pooler/identity",
      AUTHORITIES: "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
      LOG_GROUP: "/pgladder/pooler",
      GROUP: "pooler-group",
      HOOK: "pooler-hook",
      PROCESSES: "2",
      INSTANCE: "i-0123",
    });
  });

  test("the container may do nothing but serve, and has the time to let clients go", () => {
    const unit = read("etc/systemd/system/pgladder-pooler.service");
    const run = unit.split("\n").find((line) => line.startsWith("ExecStart="))!;
    for (const option of ["--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--volume /run/pgladder:/run/pgladder:ro"])
      expect(run).toContain(option);
    expect(unit).toContain("\nExecStop=/usr/bin/docker stop --time 340 pgladder-pooler\n");
    expect(unit).toContain("\nTimeoutStopSec=360\n");
    expect(unit).toContain("\nRestart=always\n");
  });
});

describe("settings and secrets", () => {
  const inputs = (name: string) => readFileSync(join(folder, "inputs", name), "utf8");
  const give = (name: string, text: string) => writeFileSync(join(folder, name), text);

  test("are put where the container reads them", () => {
    give("settings", '{"port":6432}');
    give("secrets", '{"SecretValues":[],"Errors":[]}');
    expect(script("pgladder-inputs").status).toBe(0);
    expect(["settings.json", "secrets.json", "rds-ca.pem"].map(inputs)).toEqual([
      '{"port":6432}\n',
      '{"SecretValues":[],"Errors":[]}\n',
      "authorities\n",
    ]);
    expect(calls()).toContain("aws ssm get-parameter --name /dev/settings --with-decryption --query Parameter.Value --output text");
    expect(calls()).toContain("aws secretsmanager batch-get-secret-value --secret-id-list app/password pooler/identity --output json");
  });

  test("stay as they are while a secret cannot be read", () => {
    give("settings", '{"port":6433}');
    give("secrets", '{"SecretValues":[],"Errors":[{"SecretId":"app/password","ErrorCode":"AccessDenied"}]}');
    const { status, stderr } = script("pgladder-inputs");
    expect([status, stderr]).toEqual([1, "secrets: some cannot be read\n"]);
    expect(inputs("settings.json")).toBe('{"port":6432}\n');
  });
});

test("the image is pulled once, by its digest, with a login that does not stay", () => {
  for (let start = 0; start < 2; start++) expect(script("pgladder-image").status).toBe(0);
  expect(calls().filter((call) => /^docker|^aws ecr/.test(call))).toEqual([
    "docker image inspect 1.registry.test/pooler@sha256:0123",
    "aws ecr get-login-password --region us-east-1",
    "docker login --username AWS --password-stdin 1.registry.test",
    "docker pull --quiet 1.registry.test/pooler@sha256:0123",
    "docker logout 1.registry.test",
    "docker image inspect 1.registry.test/pooler@sha256:0123",
  ]);
});

test("a host that is to end lets the program leave, and then says so until it is heard", () => {
  const before = calls().length;
  expect(script("pgladder-leaving").status).toBe(0);
  const done =
    "aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --lifecycle-hook-name pooler-hook --auto-scaling-group-name pooler-group --instance-id i-0123";
  expect(
    calls()
      .slice(before)
      .filter((call) => !call.startsWith("curl")),
  ).toEqual(["sleep 5", "sleep 5", "systemctl stop pgladder-pooler", done, "sleep 5", done]);
});

test.each([
  ["aws", "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"],
  ["aws-us-gov", "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem"],
  ["aws-cn", "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem"],
])("authorities of partition %s", (partition, url) => {
  expect(rdsAuthorities(partition)).toBe(url);
});
