/** Which file goes to whom, and who gets to see which password. Cannot prove modes and owners on a volume: the mirror's containers do. */
import { describe, expect, test } from "vitest";
import { cacheDoorConfig, desired, haproxyConfig, type MirrorFile, valkeyStatic } from "../../plan/mirror.ts";
import { parseLastOutputs, plan, toOutputs } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { parse } from "../support/config.ts";
import { CACHE_ROLES, contentOf, digestOf, filesOf, passwordOf, SECRET_ROLES, topologyOf } from "../support/mirror.ts";

const NODE_FILES = ["ca.crt", "node.crt", "node.key", "patroni.yml"];
const POOLER_FILES = ["ca.crt", "haproxy.cfg", "pgbouncer.ini", "pooler.crt", "pooler.key", "pooler.pem", "userlist.txt"];
const AGENT_FILES = ["agent.crt", "agent.key", "ca.crt", "desired.json", "passwords.json"];
const CACHE_FILES = ["ca.crt", "cache.crt", "cache.key", "door.password", "users.acl", "valkey.conf"];
const STAGES = [
  { stage: 1, nodes: ["main-1"], cache: [] },
  { stage: 2, nodes: ["main-1", "main-2"], cache: [] },
  { stage: 3, nodes: ["main-1", "main-2", "main-3"], cache: ["cache-0-1", "cache-0-2"] },
];

/** Owner and file names by part. */
const byPart = (files: readonly MirrorFile[]) => {
  const parts = [...new Set(files.map(({ path }) => path.split("/")[0]!))];
  return Object.fromEntries(
    parts.map((part) => {
      const own = files.filter(({ path }) => path.startsWith(`${part}/`));
      return [
        part,
        {
          owners: [...new Set(own.map(({ uid, gid }) => `${uid}:${gid}`))],
          files: own.map(({ path }) => path.slice(part.length + 1)).sort(),
        },
      ];
    }),
  );
};

describe.each(STAGES)("stage $stage", ({ stage, nodes, cache }) => {
  const files = filesOf(topologyOf({ stage }));
  const rolesSeenBy = (part: string) =>
    [...SECRET_ROLES, ...CACHE_ROLES].filter((role) =>
      files.some(({ path, content }) => path.startsWith(`${part}/`) && new RegExp(`${passwordOf(role)}(?!\\w)`).test(content)),
    );

  test("each part has its own files, owned by the user of its image", () => {
    expect(byPart(files)).toEqual({
      "etcd-1": { owners: ["5432:5432"], files: ["ca.crt", "node.crt", "node.key"] },
      ...Object.fromEntries(nodes.map((node) => [node, { owners: ["5432:5432"], files: NODE_FILES }])),
      "pooler-1": { owners: ["6432:6432"], files: POOLER_FILES },
      ...Object.fromEntries(cache.map((node) => [node, { owners: ["6379:6379"], files: CACHE_FILES }])),
      ...(cache.length > 0 ? { "cache-door": { owners: ["6432:6432"], files: ["ca.crt", "haproxy.cfg"] } } : {}),
      agent: { owners: ["7432:7432"], files: AGENT_FILES },
    });
    expect(new Set(files.map(({ path }) => path)).size).toBe(files.length);
  });

  test("passwords reach only who needs them", () => {
    expect(rolesSeenBy("etcd-1")).toEqual([]);
    for (const node of nodes) expect(rolesSeenBy(node)).toEqual(["ladder_admin", "ladder_replication", "ladder_rewind"]);
    expect(rolesSeenBy("pooler-1")).toEqual(["ladder_agent"]);
    for (const node of cache) expect(rolesSeenBy(node).sort()).toEqual(["ladder_cache_copy", "ladder_cache_door"]);
    expect(rolesSeenBy("cache-door")).toEqual(cache.length > 0 ? ["ladder_cache_door"] : []);
    expect(rolesSeenBy("agent").sort()).toEqual([...SECRET_ROLES, ...(cache.length > 0 ? CACHE_ROLES : [])].sort());
  });

  test("a private key is in its own part only", () => {
    for (const part of ["etcd-1", ...nodes, ...cache, "pooler-1", "agent"]) {
      const holders = files.filter(({ content }) => content.includes(`key of ${part}\n`)).map(({ path }) => path.split("/")[0]);
      expect([part, [...new Set(holders)]]).toEqual([part, [part]]);
    }
    for (const { path, content } of files.filter((file) => file.path.endsWith("ca.crt")))
      expect([path, content]).toEqual([path, "authority\n"]);
  });

  test("what the agent is told to make true holds no password", () => {
    const told = contentOf(topologyOf({ stage }), "agent/desired.json");
    const setting = (name: string) =>
      Number(new RegExp(`^${name} = (.*)$`, "m").exec(contentOf(topologyOf({ stage }), "pooler-1/pgbouncer.ini"))![1]);
    const limits = { maxUserConnections: setting("max_user_connections"), minPoolSize: setting("min_pool_size") };
    for (const role of SECRET_ROLES) expect(told).not.toContain(passwordOf(role));
    expect(JSON.parse(told)).toMatchObject({
      stack: "dev",
      stage,
      database: "app",
      users: { write: "app", read: "app_ro" },
      pooler: { host: "pooler-1", port: 6432, limits },
      cluster: { nodes, wanted: nodes },
      held: [],
    });
  });
});

describe("the cache", () => {
  const topology = topologyOf({ stage: 3 });

  test("nodes know their users by digests", () => {
    const users = contentOf(topology, "cache-0-2/users.acl");
    for (const role of CACHE_ROLES) expect(users).toContain(` #${digestOf(role)} `);
    expect(contentOf(topology, "cache-0-2/valkey.conf")).toMatch(/^tls-port 7434$/m);
  });

  test("the agent is told nodes, ports, limits and the door", () => {
    expect(desired(topology).cache).toMatchObject({
      nodes: [
        { name: "cache-0-1", port: 7433, memory: 2_097_152 },
        { name: "cache-0-2", port: 7434, memory: 2_097_152 },
      ],
      wanted: ["cache-0-1", "cache-0-2"],
      door: { host: "cache-door", port: 7432 },
    });
    expect(desired(topologyOf({ stage: 2 })).cache).toBeNull();
  });

  test("held, its nodes stay and none of them is wanted", () => {
    const back = plan(parse({ stage: 2 }), parseLastOutputs(toOutputs(topology)), { cores: 8, memory: gib(64) });
    expect(desired(back).cache).toMatchObject({ nodes: [{ name: "cache-0-1" }, { name: "cache-0-2" }], wanted: [] });
    expect(back.cacheDoor).toEqual({ name: "cache-door", port: 7432 });
  });

  test("what replaces a container when it changes holds no password and not what the agent changes", () => {
    const [node] = topology.cache;
    expect(valkeyStatic(topology, node!)).toBe(valkeyStatic(topologyOf({ stage: 3, cache: { memory: "64MB" } }), node!));
    expect(valkeyStatic(topology, node!)).toMatch(/^primaryauth $/m);
    expect(cacheDoorConfig(6432, "")).toBe(contentOf(topology, "cache-door/haproxy.cfg").replace("password-of-ladder_cache_door", ""));
  });
});

describe("shards", () => {
  const HOST = { cores: 8, memory: gib(64) };
  const topology = topologyOf({ stage: 4, shards: { count: 3 } });
  const part = (name: string, nodes: readonly string[], wanted = nodes) => ({ name, nodes, wanted });

  test("each is a cluster of its own for Patroni and behind the pooler", () => {
    const scope = (node: string) => contentOf(topology, `${node}/patroni.yml`).split("\n")[0];
    expect(["main-1", "main-2", "shard-0-1", "shard-0-2", "shard-2-1"].map(scope)).toEqual([
      "scope: dev-main",
      "scope: dev-main",
      "scope: dev-shard-0",
      "scope: dev-shard-0",
      "scope: dev-shard-2",
    ]);
    expect(byPart(filesOf(topology))["pooler-1"]!.files).toEqual([...POOLER_FILES, "shard-0.cfg", "shard-1.cfg", "shard-2.cfg"].sort());
    const lines = contentOf(topology, "pooler-1/pgbouncer.ini").split("\n");
    const leads = lines.flatMap((line) => /^(app\S*) = (host=.* auth_dbname=\S+) /.exec(line)?.slice(1).join(": ") ?? []);
    const at = (port: number, look: string) => `host=127.0.0.1 port=${port} dbname=app auth_user=ladder_pooler auth_dbname=${look}`;
    expect(leads).toEqual([
      `app: ${at(5000, "app")}`,
      `app_read: ${at(5001, "app")}`,
      `app_session: ${at(5000, "app")}`,
      `app_shard_0: ${at(5010, "app_shard_0")}`,
      `app_shard_0_read: ${at(5011, "app_shard_0")}`,
      `app_shard_1: ${at(5020, "app_shard_1")}`,
      `app_shard_1_read: ${at(5021, "app_shard_1")}`,
      `app_shard_2: ${at(5030, "app_shard_2")}`,
      `app_shard_2_read: ${at(5031, "app_shard_2")}`,
    ]);
  });

  test("the agent is told which rows each has, its doors and its pools", () => {
    const { cluster, shards, buckets } = desired(topology);
    expect(cluster).toMatchObject({
      ...part("main", ["main-1", "main-2"]),
      doors: { write: 5000, read: 5001, control: 5002 },
      pools: { write: "app", read: "app_read" },
    });
    expect(buckets).toBe(64);
    expect(shards.map(({ dynamic, ...rest }) => [rest, dynamic.synchronous_mode])).toEqual(
      [
        { modulus: 4, remainder: 0 },
        { modulus: 2, remainder: 1 },
        { modulus: 4, remainder: 2 },
      ].map((rows, index) => [
        {
          ...part(`shard-${index}`, [`shard-${index}-1`, `shard-${index}-2`]),
          index,
          class: rows,
          doors: { write: 5010 + 10 * index, read: 5011 + 10 * index, control: 5012 + 10 * index },
          pools: { write: `app_shard_${index}`, read: `app_shard_${index}_read` },
        },
        true,
      ]),
    );
    expect(desired(topologyOf({ stage: 3 })).shards).toEqual([]);
  });

  test("a hot one is split where the configuration says so", () => {
    const split = topologyOf({ stage: 4, shards: { count: 3, splits: { 2: 1 } } });
    expect(desired(split).shards.map((shard) => shard.class)).toEqual([
      { modulus: 2, remainder: 0 },
      { modulus: 4, remainder: 1 },
      { modulus: 4, remainder: 3 },
    ]);
  });

  test("that nobody wants any more stay behind their doors, without rows of their own", () => {
    const fewer = plan(parse({ stage: 4, shards: { count: 2 } }), parseLastOutputs(toOutputs(topology)), HOST);
    expect(desired(fewer).shards.map(({ name, wanted, class: rows }) => [name, wanted, rows])).toEqual([
      ["shard-0", ["shard-0-1", "shard-0-2"], { modulus: 2, remainder: 0 }],
      ["shard-1", ["shard-1-1", "shard-1-2"], { modulus: 2, remainder: 1 }],
      ["shard-2", [], null],
    ]);
    const none = plan(parse({ stage: 3 }), parseLastOutputs(toOutputs(topology)), HOST);
    expect(desired(none).shards.map((shard) => shard.class)).toEqual([null, null, null]);
    expect(contentOf(none, "pooler-1/shard-1.cfg")).toBe(contentOf(topology, "pooler-1/shard-1.cfg"));
  });

  test("the gateway's passwords are for the agent alone", () => {
    const holders = filesOf(topology).filter(({ content }) => /password-of-ladder_gateway/.test(content));
    expect(holders.map(({ path }) => path)).toEqual(["agent/passwords.json"]);
  });
});

test("the climb from stage to stage leaves the pooler's haproxy.cfg as it is: it is read at start only", () => {
  const all = [1, 2, 3, 4].map((stage) => haproxyConfig(topologyOf({ stage })));
  expect(new Set(all).size).toBe(1);
  expect(all[0]).toMatch(/^ {2}maxconn 1000$/m);
  expect(
    haproxyConfig(topologyOf({ stage: 3, primary: { memory: "256GB" }, pooler: { defaultPoolSize: 300, maxDbConnections: 400 } })),
  ).toMatch(/^ {2}maxconn 1340$/m);
});

test("the pooler's own files", () => {
  const topology = topologyOf({});
  expect(contentOf(topology, "pooler-1/userlist.txt")).toBe('"ladder_agent" "password-of-ladder_agent"\n');
  expect(contentOf(topology, "pooler-1/pooler.pem")).toBe("certificate of pooler-1\nkey of pooler-1\n");
});

test("back at stage 1 the held node keeps its files, and may not lead", () => {
  const host = { cores: 8, memory: gib(64) };
  const two = plan(parse({ stage: 2 }), undefined, host);
  const back = plan(parse({ stage: 1 }), parseLastOutputs(toOutputs(two)), host);
  expect(byPart(filesOf(back))["main-2"]).toEqual({ owners: ["5432:5432"], files: NODE_FILES });
  expect(desired(back)).toMatchObject({ stage: 1, cluster: { nodes: ["main-1", "main-2"], wanted: ["main-1"] }, held: ["main-2"] });
});
