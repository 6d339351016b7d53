/** Connections to the cache: one server or a cluster, found out by asking; time-outs, and a breaker for when it is down. */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import { Cluster, Redis, type RedisOptions } from "iovalkey";
import type { Counters } from "./figures.ts";
import type { Script } from "./scripts.ts";

export interface LinkOptions {
  url: string;
  caCertificate: string | undefined;
  /** Connections to each node for reads; writes have one more. */
  connections: number;
  /** Longest wait for an answer, ms. */
  timeout: number;
  /** Longest wait for a replica to confirm an invalidation, ms. */
  confirm: number;
  nat: Readonly<Record<string, { host: string; port: number }>> | undefined;
}

type Server = RedisOptions & { host: string; port: number };
type Argument = string | number | Buffer;

/** What both kinds of client have. */
interface Client {
  readonly status: string;
  call(command: string, ...args: Argument[]): Promise<unknown>;
  callBuffer(command: string, ...args: Argument[]): Promise<unknown>;
  pipeline(commands: Argument[][]): { exec(): Promise<[Error | null, unknown][] | null> };
  disconnect(): void;
}

/** Answers that did not come in this row mean: it is down, stop asking for a while. */
const FAILURES = 3;
const PAUSE_MS = 500;
const PROBE_MS = 2000;

function tlsOf(url: URL, ca: string | undefined): ConnectionOptions | undefined {
  if (url.protocol !== "rediss:" && url.protocol !== "valkeys:") return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(isIP(host) ? {} : { servername: host }),
    // A cluster names its nodes by address; their certificates carry the name that the URL has.
    checkServerIdentity: (_node, certificate) => checkServerIdentity(host, certificate),
  };
}

function optionsOf(text: string, caCertificate: string | undefined): Server {
  const url = new URL(text);
  const file = url.searchParams.get("sslrootcert");
  const tls = tlsOf(url, caCertificate ?? (file ? readFileSync(file, "utf8") : undefined));
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || 6379),
    ...(url.username === "" ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === "" ? {} : { password: decodeURIComponent(url.password) }),
    ...(tls ? { tls } : {}),
  };
}

export class Link {
  readonly #options: LinkOptions;
  /** Undefined until opened: nothing is asked then. */
  #server: Server | undefined;
  readonly #counters: Counters;
  #readers: Client[] = [];
  #writer: Redis | Cluster | undefined;
  #turn = 0;
  #failures = 0;
  #pausedUntil = 0;
  #unconfirmedUntil = 0;
  #closed = false;

  constructor(options: LinkOptions, counters: Counters) {
    this.#options = options;
    this.#counters = counters;
  }

  /** Resolves when the first connection stands, or after two seconds without one; goes on trying then. @throws when the URL's certificate cannot be read */
  async open(): Promise<void> {
    const { url, caCertificate } = this.#options;
    const server: Server = {
      ...optionsOf(url, caCertificate),
      connectTimeout: PROBE_MS,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
    };
    this.#server = server;
    await Promise.race([this.#connect(server), sleep(PROBE_MS, undefined, { ref: false })]);
  }

  async #connect(server: Server): Promise<void> {
    for (let tries = 1; !this.#closed; tries++) {
      const clustered = await this.#isCluster(server).catch(() => undefined);
      if (clustered !== undefined && !this.#closed) {
        const clients = Array.from({ length: this.#options.connections + 1 }, () =>
          clustered ? this.#cluster(server) : this.#single(server),
        );
        this.#writer = clients.pop();
        this.#readers = clients;
        await Promise.all([...clients, this.#writer].map((client) => client && ready(client)));
        return;
      }
      await sleep(Math.min(100 * tries, 1000), undefined, { ref: false });
    }
  }

  async #isCluster(server: Server): Promise<boolean> {
    const probe = this.lone(server);
    try {
      await probe.connect();
      return String(await probe.call("info", "cluster")).includes("cluster_enabled:1");
    } finally {
      probe.disconnect();
    }
  }

  #single(server: Server): Redis {
    const client = new Redis({ ...server, retryStrategy: (times) => Math.min(50 * times, 1000) });
    return client.on("error", () => undefined);
  }

  #cluster({ host, port, ...redisOptions }: Server): Cluster {
    const { nat } = this.#options;
    const cluster = new Cluster([{ host, port }], {
      redisOptions,
      enableOfflineQueue: false,
      slotsRefreshInterval: 2000,
      // Names stay names: a connection then tries all their addresses.
      dnsLookup: (name, done) => done(null, name),
      clusterRetryStrategy: (times) => Math.min(100 * times, 1000),
      ...(nat ? { natMap: nat } : {}),
    });
    return cluster.on("error", () => undefined);
  }

  /** A connection apart, not connected yet and not repeated, for what blocks or subscribes. @default node any primary */
  lone(node: { host?: string | undefined; port?: number | undefined } = this.#anyPrimary()): Redis {
    const { host = "", port = 0 } = node;
    const client = new Redis({ ...this.#server, host, port, lazyConnect: true, retryStrategy: () => null });
    return client.on("error", () => undefined);
  }

  #anyPrimary(): { host?: string | undefined; port?: number | undefined } {
    const primaries = this.primaries();
    return primaries[Math.floor(Math.random() * primaries.length)]?.options ?? this.#server ?? {};
  }

  /** A connection to each server that takes writes. */
  primaries(): Redis[] {
    if (this.#writer === undefined) return [];
    return this.#writer instanceof Cluster ? this.#writer.nodes("master") : [this.#writer];
  }

  get up(): boolean {
    return this.#writer?.status === "ready" && performance.now() >= this.#pausedUntil;
  }

  /**
   * Runs a script. Undefined: no answer in time or an error, which is counted; whether the cache ran it is open then.
   * @param on `write`: after what was sent for writing before
   */
  script(script: Script, keys: string[], args: Argument[], on: "read" | "write" = "read"): Promise<unknown> {
    return this.#ask(on === "read" ? this.#reader() : this.#writer, (client) =>
      evaluate(script, (...all) => client.callBuffer(...all), keys, args),
    );
  }

  /** One command. Undefined as for scripts; null is an answer. */
  command(name: string, ...args: Argument[]): Promise<unknown> {
    return this.#ask(this.#reader(), (client) => client.call(name, ...args));
  }

  /** Runs a script on the connection for writes, in order, and waits for a replica to have its effect where there is one. */
  confirmed(script: Script, keys: string[], args: Argument[]): Promise<{ reply: unknown; confirmed: boolean } | undefined> {
    const run = async (client: Client) => {
      if (!(this.#writer instanceof Cluster) || this.#writer.nodes("slave").length === 0)
        return { reply: await evaluate(script, (...all) => client.call(...all), keys, args), confirmed: true };
      if (performance.now() < this.#unconfirmedUntil)
        return { reply: await evaluate(script, (...all) => client.call(...all), keys, args), confirmed: false };
      const both: Argument[][] = [
        ["eval", script.lua, keys.length, ...keys, ...args],
        ["wait", 1, this.#options.confirm],
      ];
      const [ran, waited] = (await client.pipeline(both).exec()) ?? [];
      if (ran && ran[0] === null) {
        const confirmed = waited?.[0] === null && Number(waited[1]) >= 1;
        // Waiting holds up what is behind it on this connection.
        if (!confirmed) this.#unconfirmedUntil = performance.now() + PAUSE_MS;
        return { reply: ran[1], confirmed };
      }
      // Moved, or its server is gone: a single command is sent on to where the key is now.
      return { reply: await evaluate(script, (...all) => client.call(...all), keys, args), confirmed: false };
    };
    return this.#ask(this.#writer, run, this.#options.confirm);
  }

  #reader(): Client | undefined {
    return this.#readers[this.#turn++ % this.#readers.length];
  }

  async #ask<T>(client: Client | undefined, run: (client: Client) => Promise<T>, extra = 0): Promise<T | undefined> {
    if (client?.status !== "ready" || performance.now() < this.#pausedUntil) {
      if (this.#server) this.#counters.add("skipped");
      return undefined;
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<typeof LATE>((resolve) => {
      timer = setTimeout(resolve, this.#options.timeout + extra, LATE);
    });
    try {
      const answer = await Promise.race([run(client), late]);
      if (answer === LATE) {
        this.#failed("timeouts");
        return undefined;
      }
      this.#failures = 0;
      return answer;
    } catch {
      this.#failed("errors");
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  #failed(how: "timeouts" | "errors"): void {
    this.#counters.add(how);
    if (++this.#failures >= FAILURES) this.#pausedUntil = performance.now() + PAUSE_MS;
  }

  close(): void {
    this.#closed = true;
    for (const client of [...this.#readers, this.#writer]) client?.disconnect();
  }
}

const LATE = Symbol("late");

function ready(client: Redis | Cluster): Promise<void> {
  return client.status === "ready" ? Promise.resolve() : new Promise((resolve) => client.once("ready", () => resolve()));
}

/** By its hash; by its text where the server does not know it yet. */
async function evaluate(
  { sha, lua }: Script,
  call: (command: string, ...args: Argument[]) => Promise<unknown>,
  keys: string[],
  args: Argument[],
): Promise<unknown> {
  const rest = [keys.length, ...keys, ...args];
  try {
    return await call("evalsha", sha, ...rest);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    return await call("eval", lua, ...rest);
  }
}
