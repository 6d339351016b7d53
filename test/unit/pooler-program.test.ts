/**
 * What the program of a pooler host decides from what it sees, and the files that it writes. Cannot prove that HAProxy does what it is
 * told: test/postgres/pooler-host.test.ts runs it before real servers.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hostFiles, putFiles, readInputs } from "../../agent/host/files.ts";
import { replicaReads, Servers } from "../../agent/host/haproxy.ts";
import { answer } from "../../agent/host/health.ts";
import type { Nodes } from "../../agent/host/nodes.ts";
import { hostSettings } from "../../plan/pooler-host.ts";
import { plan } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { parse } from "../support/config.ts";

const SETTINGS = hostSettings({
  topology: plan(parse({ target: "aws", stage: 3 }), undefined, { cores: 8, memory: gib(64) }),
  region: "us-east-1",
  nodes: [],
  proxy: null,
  secrets: { roles: { app: "a/password", app_ro: "r/password" }, identity: "pooler/identity" },
});

describe("files", () => {
  const inputs = (folder: string, secrets: Record<string, unknown>) => {
    writeFileSync(join(folder, "settings.json"), JSON.stringify(SETTINGS));
    const SecretValues = Object.entries(secrets).map(([Name, value]) => ({ Name, SecretString: JSON.stringify(value) }));
    writeFileSync(join(folder, "secrets.json"), JSON.stringify({ SecretValues }));
    writeFileSync(join(folder, "rds-ca.pem"), "authorities\n");
    return readInputs(folder);
  };
  const known = {
    "a/password": { username: "app", password: "one" },
    "r/password": { username: "app_ro", password: "two" },
    "pooler/identity": { certificate: "certificate", key: "key", ca: "ca" },
  };

  test("are written from what the host fetched, for the program's eyes only, and once", () => {
    const folder = mkdtempSync(join(tmpdir(), "pgladder-host-"));
    try {
      const files = hostFiles(inputs(folder, known));
      expect(Object.keys(files).sort()).toEqual(
        ["ca.crt", "haproxy-main.cfg", "pooler.crt", "pooler.key", "process-0/pgbouncer.ini", "process-1/pgbouncer.ini"]
          .concat("server-ca.crt", "userlist.txt")
          .map((name) => `/etc/pgladder/${name}`),
      );
      expect(files["/etc/pgladder/userlist.txt"]).toBe('"app" "one"\n"app_ro" "two"\n');
      expect(files["/etc/pgladder/server-ca.crt"]).toBe("authorities\n");
      const path = join(folder, "below/userlist.txt");
      expect(putFiles({ [path]: "one" })).toEqual([path]);
      expect(putFiles({ [path]: "one" })).toEqual([]);
      expect(putFiles({ [path]: "two" })).toEqual([path]);
      expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777, existsSync(`${path}.new`)]).toEqual(["two", 0o400, false]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("a secret that is not there is named", () => {
    const folder = mkdtempSync(join(tmpdir(), "pgladder-host-"));
    try {
      expect(() => inputs(folder, { "a/password": known["a/password"] })).toThrow(
        "secrets.json: got no secret r/password, want it among a/password",
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

type Seen = Record<string, { address: string | null; role: "primary" | "replica" | null }>;
const nodesOf = (seen: Seen) =>
  ({
    states: () => Object.entries(seen).map(([name, { address }]) => ({ name, address, seen: null, problem: "" })),
    isPrimary: (name: string) => seen[name]?.role === "primary",
    isReplica: (name: string, { bytes }: { bytes?: number }) => seen[name]?.role === "replica" && (bytes ?? 0) >= 100,
    lag: () => ({ bytes: 100, seconds: 1 }),
  }) as unknown as Nodes;

describe("what HAProxy is told", () => {
  const settings = { primaries: ["main-1", "main-2"], replicas: ["main-1", "main-2"] };
  const one: Seen = { "main-1": { address: "10.0.0.1", role: "primary" }, "main-2": { address: "10.0.0.2", role: "replica" } };
  const admitted = (server: string, address: string) => [`set server ${server} addr ${address}`, `set server ${server} state ready`];

  test("a server is let in when it has proved its role, and once", () => {
    const servers = new Servers();
    expect(servers.commands(settings, nodesOf({ ...one, "main-2": { address: "10.0.0.2", role: null } }))).toEqual([
      ...admitted("write/main-1", "10.0.0.1"),
      ...admitted("primary_for_reads/main-1", "10.0.0.1"),
    ]);
    expect(servers.commands(settings, nodesOf(one))).toEqual(admitted("replicas/main-2", "10.0.0.2"));
    expect(servers.commands(settings, nodesOf(one))).toEqual([]);
  });

  test("a new address ends the sessions to the old one", () => {
    const servers = new Servers();
    servers.commands(settings, nodesOf(one));
    const moved = { ...one, "main-1": { address: "10.0.0.9", role: "primary" as const } };
    expect(servers.commands(settings, nodesOf(moved))).toEqual([
      "set server write/main-1 addr 10.0.0.9",
      "shutdown sessions server write/main-1",
      "set server primary_for_reads/main-1 addr 10.0.0.9",
      "shutdown sessions server primary_for_reads/main-1",
    ]);
  });

  test("a server that is no more is taken out; a HAProxy that was started anew is told all again", () => {
    const servers = new Servers();
    servers.commands(settings, nodesOf(one));
    const { "main-1": first } = one;
    expect(servers.commands(settings, nodesOf({ "main-1": first! }))).toEqual([
      "set server replicas/main-2 state maint",
      "shutdown sessions server replicas/main-2",
    ]);
    servers.forget();
    expect(servers.commands(settings, nodesOf(one))).toHaveLength(6);
  });

  test.each([
    ["2", "0", { serve: true, losses: 0 }],
    ["1", "3", { serve: true, losses: 3 }],
    ["0", "1", { serve: false, losses: 1 }],
  ])("%s active replicas, lost %s times", (active, down, expected) => {
    const stat = `# pxname,svname,scur,act,bck,chkfail,chkdown\nreplicas,main-2,0,1,0,9,9\nreplicas,BACKEND,0,${active},0,,${down}\n\n`;
    expect(replicaReads(stat)).toEqual(expected);
  });
});

test.each([
  ["/healthy", 200],
  ["/primary/main-1", 200],
  ["/primary/main-2", 503],
  ["/primary/main-9", 503],
  ["/replica/main-2?lag=100", 200],
  ["/replica/main-2?lag=99", 503],
  ["/replica/main-1", 503],
  ["/status", 200],
  ["/anything", 404],
])("the endpoint answers %s with %d", (url, status) => {
  const nodes = nodesOf({ "main-1": { address: "10.0.0.1", role: "primary" }, "main-2": { address: "10.0.0.2", role: "replica" } });
  expect(answer({ nodes, serving: () => true }, url).status).toBe(status);
});

test("a host that leaves is unhealthy, and still tells who is who", () => {
  const nodes = nodesOf({ "main-1": { address: "10.0.0.1", role: "primary" } });
  expect(["/healthy", "/primary/main-1"].map((url) => answer({ nodes, serving: () => false }, url).status)).toEqual([503, 200]);
});
