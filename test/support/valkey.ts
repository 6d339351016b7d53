/**
 * Real Valkey servers for tests: all in one container of the cache image, data in memory, gone when the test process ends, however it ends.
 * Set PGLADDER_TEST_CACHE_IMAGE to the image's tag. Cannot prove: servers on several machines, cut networks, what ElastiCache adds.
 */
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Redis } from "iovalkey";

const run = promisify(execFile);
const TRIES = 400;
const SLOTS = 16_384;
const PASSWORD = "for tests";

export interface ValkeyOptions {
  /** 0: one server that is no cluster. @default 0 */
  groups?: number;
  /** Of each group. @default 0 */
  replicas?: number;
  /** Servers speak TLS only. @default false */
  tls?: boolean;
}

export interface ValkeyNode {
  port: number;
  /** For commands of the test; connects again by itself. */
  client: Redis;
  /** SIGKILL. What it held is gone: nothing is written to disk. */
  kill: () => Promise<void>;
  /** Empty, on the same port. A member of a cluster keeps its place in it. */
  start: () => Promise<void>;
  /** SIGSTOP and SIGCONT: connections stay open, nothing answers. */
  freeze: () => Promise<void>;
  thaw: () => Promise<void>;
}

export interface Valkey {
  /** Of the first server. */
  url: string;
  /** Of the authority, with TLS. */
  ca: string | undefined;
  primaries: ValkeyNode[];
  /** `replicas[i]` are those of `primaries[i]`. */
  replicas: ValkeyNode[][];
  /** Every entry of a name space, whole key → fields, read from the servers that are primaries now. */
  entries: (namespace: string) => Promise<Map<string, Record<string, string>>>;
  /** Promotes the first replica of a group without asking the others, and waits until all agree. */
  takeOver: (group: number) => Promise<void>;
  stop: () => Promise<void>;
}

/** Ends when standard input closes: that is, when the process that started it is gone. */
const SCRIPT = `
cd /valkey
[ "$TLS" = 1 ] && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out ca.pem -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
bus=16000
for port in $PORTS; do
  mkdir $port
  {
    echo "dir /valkey/$port
pidfile /valkey/$port/pid
requirepass \\"$PASSWORD\\"
masterauth \\"$PASSWORD\\"
protected-mode no
save \\"\\"
repl-diskless-sync-delay 0
repl-ping-replica-period 1"
    if [ "$TLS" = 1 ]; then
      echo "port 0
tls-port $port
tls-cert-file /valkey/ca.pem
tls-key-file /valkey/key.pem
tls-ca-cert-file /valkey/ca.pem
tls-auth-clients no
tls-replication yes
tls-cluster yes"
    else echo "port $port"; fi
    [ "$CLUSTER" = 1 ] && echo "cluster-enabled yes
cluster-port $((bus += 1))
cluster-announce-ip 127.0.0.1
cluster-node-timeout 2000
cluster-require-full-coverage no"
  } > $port/conf
  valkey-server /valkey/$port/conf >&2 </dev/null &
done
cat >/dev/null
`;

function fail(got: string): never {
  throw new Error(`Valkey for tests: got ${got}, want a running Docker and PGLADDER_TEST_CACHE_IMAGE set to an image with Valkey 8`);
}

/** Ports that are free now; the same numbers are used inside the container, so that members of a cluster and clients mean the same by them. */
async function freePorts(count: number): Promise<number[]> {
  const listen = async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server;
  };
  const servers = await Promise.all(Array.from({ length: count }, listen));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < TRIES; tries++) {
    if (await holds().catch(() => false)) return;
    await sleep(50);
  }
  fail(`${what} for ${(TRIES * 50) / 1000} s`);
}

function nodeOf(container: string, port: number, tls: { ca: string } | undefined): ValkeyNode {
  const client = new Redis({
    host: "127.0.0.1",
    port,
    password: PASSWORD,
    ...(tls ? { tls } : {}),
    retryStrategy: () => 50,
    maxRetriesPerRequest: null,
  });
  client.on("error", () => undefined);
  const signal = (name: string) =>
    run("docker", ["exec", container, "bash", "-c", `kill -${name} $(cat /valkey/${port}/pid)`]).then(() => undefined);
  return {
    port,
    client,
    kill: () => signal("KILL"),
    start: async () => {
      await run("docker", ["exec", "-d", container, "valkey-server", `/valkey/${port}/conf`]);
      await until(`no server on port ${port}`, async () => (await client.ping()) === "PONG");
    },
    freeze: () => signal("STOP"),
    thaw: () => signal("CONT"),
  };
}

const call = (node: ValkeyNode, ...words: (string | number)[]): Promise<unknown> => node.client.call("cluster", ...words.map(String));

/** Gives each group its slots, introduces all, attaches the replicas, and waits until every server knows all of it. */
async function makeCluster(primaries: ValkeyNode[], replicas: ValkeyNode[][]): Promise<void> {
  const all = [...primaries, ...replicas.flat()];
  const first = (group: number) => Math.floor((SLOTS * group) / primaries.length);
  for (const [i, node] of all.entries()) {
    await call(node, "set-config-epoch", i + 1);
    if (i < primaries.length) await call(node, "addslotsrange", first(i), first(i + 1) - 1);
  }
  for (const [i, node] of all.entries()) if (i > 0) await call(all[0] as ValkeyNode, "meet", "127.0.0.1", node.port, 16_001 + i);
  const knows = async (node: ValkeyNode) => String(await call(node, "info")).includes(`cluster_known_nodes:${all.length}`);
  await until("servers that do not know each other", async () => (await Promise.all(all.map(knows))).every(Boolean));
  for (const [i, group] of replicas.entries()) {
    const id = String(await call(primaries[i] as ValkeyNode, "myid"));
    for (const node of group) await until("a replica that is refused", async () => (await call(node, "replicate", id)) === "OK");
  }
  const complete = async (node: ValkeyNode) => {
    if (!String(await call(node, "info")).includes("cluster_state:ok")) return false;
    const slots = (await call(node, "slots")) as unknown[][];
    return slots.length === primaries.length && slots.every((range, i) => range.length === 3 + (replicas[i]?.length ?? 0));
  };
  const linked = async (node: ValkeyNode) => (await node.client.info("replication")).includes("master_link_status:up");
  await until("an incomplete cluster", async () => {
    const states = await Promise.all([...all.map(complete), ...replicas.flat().map(linked)]);
    return states.every(Boolean);
  });
}

async function scan(node: ValkeyNode, namespace: string, into: Map<string, Record<string, string>>): Promise<void> {
  if (!(await node.client.info("replication")).includes("role:master")) return;
  let cursor = "0";
  do {
    const [next, keys] = await node.client.scan(cursor, "MATCH", `${namespace}:*`, "COUNT", 1000);
    cursor = next;
    for (const key of keys) if (!key.includes("@")) into.set(key, await node.client.hgetall(key));
  } while (cursor !== "0");
}

/** Starts servers and, with groups, joins them to a cluster. */
export async function startValkey({ groups = 0, replicas: copies = 0, tls = false }: ValkeyOptions = {}): Promise<Valkey> {
  const image = process.env.PGLADDER_TEST_CACHE_IMAGE ?? fail("no PGLADDER_TEST_CACHE_IMAGE");
  const container = `pgladder-test-${randomBytes(5).toString("hex")}`;
  const ports = await freePorts(Math.max(1, groups) * (1 + copies));
  const variables = { PORTS: ports.join(" "), TLS: tls ? "1" : "0", CLUSTER: groups > 0 ? "1" : "0", PASSWORD };
  const child = spawn("docker", [
    ...["run", "--rm", "-i", "--name", container, "--tmpfs", "/valkey:rw,mode=1777", "--entrypoint", "bash"],
    ...ports.flatMap((port) => ["-p", `127.0.0.1:${port}:${port}`]),
    ...Object.entries(variables).flatMap(([name, value]) => ["-e", `${name}=${value}`]),
    ...[image, "-c", SCRIPT],
  ]);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4000);
    });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));

  let ca: string | undefined;
  if (tls)
    await until("no certificate", async () => {
      if (child.exitCode !== null) fail(output);
      ca = (await run("docker", ["exec", container, "cat", "/valkey/ca.pem"])).stdout;
      return ca.includes("END CERTIFICATE");
    });
  const nodes = ports.map((port) => nodeOf(container, port, ca === undefined ? undefined : { ca }));
  const answers = Promise.all(nodes.map((node) => until(`no server: ${output}`, async () => (await node.client.ping()) === "PONG")));
  await Promise.race([answers, ended.then(() => fail(output))]);
  const primaries = nodes.slice(0, Math.max(1, groups));
  const replicas = primaries.map((_, i) => nodes.slice(primaries.length + i * copies, primaries.length + (i + 1) * copies));
  if (groups > 0) await makeCluster(primaries, replicas);

  return {
    url: `${tls ? "rediss" : "redis"}://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${ports[0]}`,
    ca,
    primaries,
    replicas,
    entries: async (namespace) => {
      const found = new Map<string, Record<string, string>>();
      for (const node of nodes) await scan(node, namespace, found);
      return found;
    },
    takeOver: async (group) => {
      const replica = replicas[group]?.[0] ?? fail(`no replica of group ${group}`);
      const id = String(await call(replica, "myid"));
      await call(replica, "failover", "takeover");
      const agrees = async (node: ValkeyNode) => {
        const slots = (await call(node, "slots")) as [number, number, [string, number, string], ...unknown[]][];
        return slots.some(([, , primary]) => primary[2] === id);
      };
      await until("servers that know of no fail-over", async () => (await Promise.all(nodes.map(agrees))).every(Boolean));
    },
    stop: async () => {
      for (const { client } of nodes) client.disconnect();
      child.stdin.end();
      await ended;
    },
  };
}
