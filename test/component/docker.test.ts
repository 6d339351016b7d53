/**
 * What the docker target asks Pulumi for, under mocks: names, parents, protection, limits, and who gets a password.
 * Cannot prove what is replaced, in which order things happen, or that Docker takes it: test/engine and test/mirror do.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { plan, toOutputs } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";
import { type Placed, runProgram, runTarget, runTask, STATE } from "./docker-mocks.ts";

const CONTAINER = "docker:index/container:Container";
const VOLUME = "docker:index/volume:Volume";
const HOST = { cores: 8, memory: gib(64) };

/** Of 2 GB of data at stage 3, of a twentieth of the host's memory at stage 4. */
const CACHE_LIMIT: Record<number, number> = { 3: 3_136, 4: 4_978 };

const topologyAt = (given: Given, ...before: Given[]) => {
  let last: ReturnType<typeof toOutputs> | undefined;
  for (const each of before) last = toOutputs(plan(parse(each), last, HOST));
  return { last, topology: plan(parse(given), last, HOST) };
};

const ofType = (made: readonly Placed[], type: string) => made.filter((each) => each.type === type);
const container = (made: readonly Placed[], name: string) => ofType(made, CONTAINER).find((each) => each.name === name)!.args;
const isTask = ({ args }: Placed) => args.mustRun === false;

/** `parent > type name`, sorted. */
const tree = (made: readonly Placed[]) =>
  made.map(({ type, name, parent }) => `${parent ?? ""} > ${type.split(":").at(-1)} ${name}`).sort();

const expectedTree = (nodes: readonly string[], cache: readonly string[] = []) => {
  const parts = ["etcd-1", ...nodes, ...cache, "pooler-1", "agent"];
  const door = cache.length > 0 ? ["cache-door"] : [];
  const roles = [
    ...["ladder_admin", "ladder_replication", "ladder_rewind", "ladder_agent", "ladder_monitor", "app", "app_ro"],
    ...["ladder_gateway", "ladder_gateway_ro"],
    // From the start, so that the cache's URL is the same when it comes back.
    ...["cache_app", "ladder_cache", "ladder_cache_copy", "ladder_cache_door"],
  ];
  const under = (parent: string, ...children: string[]) => children.map((child) => `${parent} > ${child}`);
  return [
    ...under("", "Target dev"),
    ...under("dev", "RandomId owner", "Network network", "Images images", "Secrets secrets", "Files files"),
    ...under("dev", "Database database", "Pooler pooler", "Agent agent"),
    ...under("images", "Image image-node", "Image image-pooler", "Image image-agent"),
    ...under("secrets", "PrivateKey ca", "SelfSignedCert ca", ...roles.map((role) => `RandomPassword password-${role}`)),
    ...under("secrets", ...parts.flatMap((part) => [`PrivateKey ${part}`, `CertRequest ${part}`, `LocallySignedCert ${part}`])),
    ...under("files", "Container agent-files", ...[...parts, ...door].map((part) => `Volume files-${part}`)),
    ...door.flatMap((part) => [
      ...under("dev", "Cache cache"),
      ...under("images", "Image image-cache"),
      ...under("cache", `Container ${part}`),
    ]),
    ...under("cache", ...cache.flatMap((node) => [`Container ${node}`, `Volume data-${node}`])),
    ...under("database", "Container etcd-1", "Volume data-etcd-1"),
    ...under("database", ...nodes.flatMap((node) => [`Container ${node}`, `Container agent-vacate-${node}`, `Volume data-${node}`])),
    ...under("pooler", "Container pooler-1"),
    ...under("agent", "Container agent", "Container agent-configure", "Container agent-migrate"),
  ].sort();
};

describe.each([
  { stage: 1, nodes: ["main-1"], cache: [], memory: 4096, cpuSet: "0-1" },
  { stage: 2, nodes: ["main-1", "main-2"], cache: [], memory: 8192, cpuSet: "0-3" },
  { stage: 3, nodes: ["main-1", "main-2", "main-3"], cache: ["cache-0-1", "cache-0-2"], memory: 13_088, cpuSet: "0-7" },
  {
    stage: 4,
    nodes: ["main-1", "main-2", ...[0, 1, 2, 3].flatMap((shard) => [`shard-${shard}-1`, `shard-${shard}-2`])],
    cache: ["cache-0-1", "cache-0-2"],
    memory: 3_904,
    cpuSet: "0-7",
  },
])("stage $stage", ({ stage, nodes, cache, memory, cpuSet }) => {
  const withCache = cache.length > 0;
  let made: Placed[];
  beforeAll(async () => {
    made = await runTarget({ stage });
  });

  test("makes exactly these resources, each below its component", () => {
    expect(tree(made)).toEqual(expectedTree(nodes, cache));
  });

  test("names everything after the stack, and labels it with stack and owner", () => {
    const onEngine = made.filter(({ type }) => [CONTAINER, VOLUME, "docker:index/network:Network"].includes(type));
    expect(onEngine).toHaveLength(nodes.length * 4 + 11 + cache.length * 3 + (withCache ? 2 : 0));
    for (const { name, args } of onEngine) {
      expect(args.name).toBe(`pgladder-dev-${name}`);
      expect(args.labels).toEqual(
        expect.arrayContaining([
          { label: "pgladder.stack", value: "dev" },
          { label: "pgladder.owner", value: "0123456789abcdef" },
        ]),
      );
    }
  });

  test("publishes the pooler's port, and with a cache its door's and nodes', on this machine only", () => {
    const published = ofType(made, CONTAINER).filter(({ args }) => args.ports !== undefined);
    const one = (port: number) => [{ internal: port, external: port, ip: "127.0.0.1" }];
    expect(Object.fromEntries(published.map(({ name, args }) => [name, args.ports]))).toEqual({
      "pooler-1": one(6432),
      ...(withCache ? { "cache-door": one(7432), "cache-0-1": one(7433), "cache-0-2": one(7434) } : {}),
    });
    expect(ofType(made, CONTAINER).filter(({ args }) => args.networkMode === "host" || args.publishAllPorts)).toEqual([]);
  });

  test("limits memory and cores of every container that stays", () => {
    const limits = ofType(made, CONTAINER).flatMap((each) =>
      isTask(each) ? [] : [[each.name, each.args.memory, each.args.memorySwap, each.args.cpuSet ?? Number(each.args.cpus)]],
    );
    expect(limits.sort()).toEqual(
      [
        ...nodes.map((node) => [node, memory, -1, cpuSet]),
        ["agent", 512, -1, 1],
        ["etcd-1", 256, -1, 1],
        ["pooler-1", 512, -1, 1],
        ...cache.map((node) => [node, CACHE_LIMIT[stage], -1, 1]),
        ...(withCache ? [["cache-door", 256, -1, 1]] : []),
      ].sort(),
    );
  });

  test("runs nothing as root but the task that gives files to their readers, and that one without a network", () => {
    const users = Object.fromEntries(ofType(made, CONTAINER).map(({ name, args }) => [name, args.user]));
    const node = Object.fromEntries(
      nodes.flatMap((name) => [
        [name, "5432"],
        [`agent-vacate-${name}`, "7432"],
      ]),
    );
    const agent = { agent: "7432", "agent-configure": "7432", "agent-migrate": "7432", "agent-files": "0" };
    const ofCache = { ...Object.fromEntries(cache.map((name) => [name, "6379"])), ...(withCache ? { "cache-door": "6432" } : {}) };
    expect(users).toEqual({ ...node, ...agent, ...ofCache, "etcd-1": "5432", "pooler-1": "6432" });
    expect(container(made, "agent-files")).toMatchObject({ networkMode: "none" });
    for (const each of ofType(made, CONTAINER)) {
      expect(each.args.securityOpts).toEqual(["no-new-privileges:true"]);
      if (!isTask(each)) expect(each.args.capabilities).toEqual({ drops: ["ALL"] });
      if (each.name !== "agent-files") expect(each.args.networksAdvanced).toEqual([{ name: "pgladder-dev-network", aliases: [each.name] }]);
    }
  });

  test("up waits for every container that stays, until it is healthy", () => {
    for (const each of ofType(made, CONTAINER).filter((one) => !isTask(one)))
      expect(each.args).toMatchObject({ wait: true, restart: "unless-stopped", healthcheck: { tests: ["CMD-SHELL", expect.any(String)] } });
  });

  test("passwords and keys reach containers only as one secret upload of mode 0400", () => {
    for (const { name, args, secret } of ofType(made, CONTAINER)) {
      const { uploads, ...rest } = args as { uploads?: readonly { file: string; content: string; permissions: string }[] };
      expect([name, JSON.stringify(rest).match(/secret-|private-/)]).toEqual([name, null]);
      expect(rest).not.toHaveProperty("envs");
      const delicate = (uploads ?? []).filter(({ content }) => /secret-|private-/.test(content));
      expect([name, delicate.map(({ file, permissions }) => `${file} ${permissions}`), secret]).toEqual(
        name === "agent-files" ? [name, ["/input/files.json 0400"], ["uploads"]] : [name, [], []],
      );
    }
    const files = container(made, "agent-files").uploads as readonly { content: string }[];
    expect(files[0]!.content).toContain("secret-password-ladder_replication");
  });

  test("data volumes are mounted where the data is, files read-only", () => {
    const mounts = (name: string) => container(made, name).volumes;
    for (const node of nodes)
      expect(mounts(node)).toEqual([
        { volumeName: `pgladder-dev-data-${node}`, containerPath: "/var/lib/postgresql" },
        { volumeName: `pgladder-dev-files-${node}`, containerPath: "/etc/pgladder", readOnly: true },
      ]);
    for (const node of cache)
      expect(mounts(node)).toEqual([
        { volumeName: `pgladder-dev-data-${node}`, containerPath: "/var/lib/valkey" },
        { volumeName: `pgladder-dev-files-${node}`, containerPath: "/etc/pgladder", readOnly: true },
      ]);
    expect(mounts("pooler-1")).toEqual([{ volumeName: "pgladder-dev-files-pooler-1", containerPath: "/etc/pgladder", readOnly: true }]);
    expect(mounts("agent-migrate")).toEqual([{ volumeName: "pgladder-dev-files-agent", containerPath: "/etc/pgladder", readOnly: true }]);
  });

  test.each([true, false])("protect: %s holds for the nodes' data and nothing else", async (protect) => {
    const all = await runTarget({ stage, protect });
    expect(
      all
        .filter((each) => each.protect)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(protect ? nodes.map((node) => `data-${node}`) : []);
  });
});

describe("held nodes", () => {
  const given = { stage: 1, protect: true };
  const protectedVolumes = (made: readonly Placed[]) =>
    made
      .filter(({ protect }) => protect)
      .map(({ name }) => name)
      .sort();

  test("stay as they are, protected; let go they lose the protection first, then they are gone", async () => {
    const held = topologyAt(given, { stage: 2, protect: true });
    const kept = await runTarget(given, { last: held.last });
    expect(tree(kept)).toEqual(expectedTree(["main-1", "main-2"]));
    expect(protectedVolumes(kept)).toEqual(["data-main-1", "data-main-2"]);

    const release = { ...given, release: true };
    const letGo = await runTarget(release, { last: topologyAt(given, { stage: 2, protect: true }, given).last });
    expect(tree(letGo)).toEqual(expectedTree(["main-1", "main-2"]));
    expect(protectedVolumes(letGo)).toEqual(["data-main-1"]);

    const gone = await runTarget(release, { last: topologyAt(given, { stage: 2, protect: true }, given, release).last });
    expect(tree(gone)).toEqual(expectedTree(["main-1"]));
  });
});

test("a memory limit grows at once and shrinks one up later", async () => {
  const memory = async (given: Given, ...before: Given[]) =>
    container(await runTarget(given, { last: topologyAt(given, ...before).last }), "main-1").memory;
  const [small, large] = [{ primary: { memory: "4GB" } }, { primary: { memory: "6GB" } }];
  expect(await memory(large, small)).toBe(6144);
  expect(await memory(small, large)).toBe(6144);
  expect(await memory(small, large, small)).toBe(4096);
});

describe("the cache", () => {
  test("a limit grows before the data may and shrinks one up later", async () => {
    const memory = async (given: Given, ...before: Given[]) =>
      container(await runTarget({ stage: 3, ...given }, { last: topologyAt({ stage: 3, ...given }, ...before).last }), "cache-0-1").memory;
    const [small, large] = [
      { stage: 3, cache: { memory: "64MB" } },
      { stage: 3, cache: { memory: "1GB" } },
    ];
    expect(await memory(large, small)).toBe(1_600);
    expect(await memory(small, large)).toBe(1_600);
    expect(await memory(small, large, small)).toBe(160);
  });

  test("is held with its door and its URL when a stage without it is chosen, and goes when it is let go", async () => {
    const back = { stage: 2 };
    const held = await runTarget(back, { last: topologyAt(back, { stage: 3 }).last });
    expect(tree(held)).toEqual(expectedTree(["main-1", "main-2", "main-3"], ["cache-0-1", "cache-0-2"]));
    const release = { ...back, release: true };
    const gone = await runTarget(release, { last: topologyAt(back, { stage: 3 }, back, release).last });
    expect(tree(gone)).toEqual(expectedTree(["main-1", "main-2"]));
  });

  test("is behind one URL, known and secret from stage 3 on", async () => {
    const { outputs, secret } = await runProgram({ stage: "3" });
    expect(outputs.cacheUrl).toBe("rediss://app:secret-password-cache_app@127.0.0.1:7432");
    expect(secret).toContain("cacheUrl");
    const last = toOutputs(plan(parse({ stage: 3 }), undefined, HOST));
    expect((await runProgram({ stage: "2" }, { last })).outputs.cacheUrl).toBe(outputs.cacheUrl);
  });
});

test("the application's files go to the migrate task, which runs again when one changes, and among the mover's files", async () => {
  const made = await runTarget({});
  const [written] = container(made, "agent-files").uploads as readonly { content: string }[];
  const { files } = JSON.parse(written!.content) as { files: readonly { path: string }[] };
  expect(files.filter(({ path }) => path.includes("/schema/"))).toEqual([
    { path: "agent/schema/0001_notes.sql", content: "create table notes (id int);\n", uid: 7432, gid: 7432 },
  ]);
  const migrate = container(made, "agent-migrate");
  expect(migrate.uploads).toEqual([
    { file: "/input/schema/0001_notes.sql", content: "create table notes (id int);\n", permissions: "0444" },
  ]);
  const labels = (migrate.labels as readonly { label: string }[]).map(({ label }) => label);
  expect(labels).toContain("pgladder.trigger.schema");
});

test("a rotation changes the keepers of the logins' passwords only", async () => {
  const keepers = async (given: Given) =>
    Object.fromEntries(
      ofType(await runTarget(given), "random:index/randomPassword:RandomPassword").map(({ name, args }) => [name, args.keepers]),
    );
  const [before, after] = [await keepers({}), await keepers({ rotation: 1 })];
  const changed = Object.keys(after).filter((name) => JSON.stringify(after[name]) !== JSON.stringify(before[name]));
  expect(changed.sort()).toEqual(["password-app", "password-app_ro", "password-cache_app", "password-ladder_monitor"]);
});

describe("the program", () => {
  test("exports the contract's outputs, every URL as a secret", async () => {
    const { outputs, secret } = await runProgram({ stage: "1" });
    const options = `sslmode=require&sslrootcert=${join(STATE, "dev-ca.crt")}`;
    expect(outputs).toEqual({
      stage: 1,
      writeUrl: `postgresql://app:secret-password-app@127.0.0.1:6432/app?${options}`,
      readUrl: `postgresql://app_ro:secret-password-app_ro@127.0.0.1:6432/app_read?${options}`,
      sessionUrl: `postgresql://app:secret-password-app@127.0.0.1:6432/app_session?${options}`,
      cacheUrl: "",
      shardMap: {},
      caCertificate: "certificate-ca\n",
      held: [],
      topology: expect.objectContaining({ format: 1, stage: 1, target: "docker", database: "app", port: 6432 }),
      dashboardUrl: "",
    });
    expect(secret).toEqual(["writeUrl", "readUrl", "sessionUrl", "cacheUrl"]);
    expect(readFileSync(join(STATE, "dev-ca.crt"), "utf8")).toBe("certificate-ca\n");
  });

  test("reads its own last outputs: back at stage 1 a node is held", async () => {
    const last = toOutputs(plan(parse({ stage: 2 }), undefined, HOST));
    const { outputs, made } = await runProgram({ stage: "1" }, { last });
    expect(outputs.held).toEqual([{ kind: "node", name: "main-2", state: "held" }]);
    expect(made.filter(({ type }) => type === CONTAINER).map(({ name }) => name)).toContain("main-2");
  });

  test.each([
    [{ stage: "5" }, "  pgladder:stage: got 5, want 1, 2, 3 or 4 (stage 5 on docker is not built yet)"],
    [{ stage: "4", cache: { groups: 3 } }, "  pgladder:cache.groups: got 3, want 1 (several groups on docker are not built yet)"],
    [
      { stage: "3", replicaRegions: ["eu-west-1"] },
      '  pgladder:replicaRegions: got ["eu-west-1"], want none (further regions on docker are not built yet)',
    ],
    [{ stage: "3", cache: { groups: 2 } }, "  pgladder:cache.groups: got 2, want 1 (several groups on docker are not built yet)"],
    [{ stage: "5", target: "aws" }, "  pgladder:stage: got 5, want 1, 2, 3 or 4 (stage 5 on aws is not built yet)"],
    [{ stage: "6" }, '  pgladder:stage: got "6", want one of 1, 2, 3, 4, 5'],
    [{ schema: "sql/nowhere" }, '  pgladder:schema: got "sql/nowhere (not there)", want a folder of .sql files'],
    [{ schema: "package.json" }, '  pgladder:schema: got "package.json (a file)", want a folder of .sql files'],
  ])("refuses %j before it makes anything", async (given, line) => {
    await expect(runProgram(given)).rejects.toThrow(line);
  });
});

test("a task that failed fails what waits for it, with its log", async () => {
  expect(await runTask({ "agent-migrate": "0007.sql:3:1: syntax error\n" })).toBe(
    "agent-migrate ended with 1:\n0007.sql:3:1: syntax error",
  );
  expect(await runTask({})).toBe("agent-migrate-id");
});
