/** The cache of a test's stack, as clients reach it that know the URL and the authority, nothing else. */
import { setTimeout as sleep } from "node:timers/promises";
import { Cluster, Redis } from "iovalkey";
import type { TestStack } from "./stack.ts";

const TRIES = 150;
const PAUSE = 200;

export class StackCache {
  readonly #stack: TestStack;
  /** From the stack's outputs, when `refresh` was last called. */
  url = "";
  ca = "";

  constructor(stack: TestStack) {
    this.#stack = stack;
  }

  async refresh(): Promise<void> {
    const { cacheUrl, caCertificate } = await this.#stack.outputs();
    [this.url, this.ca] = [String(cacheUrl), String(caCertificate)];
  }

  /** A connection that stays as it is: it ends with its server. */
  session(url = this.url): Redis {
    const secured = url.startsWith("rediss:") ? { tls: { ca: this.ca } } : {};
    return new Redis(url, { ...secured, lazyConnect: true, retryStrategy: () => null });
  }

  async use<T>(work: (cache: Redis) => Promise<T>, url = this.url): Promise<T> {
    const cache = this.session(url);
    let reason: Error | undefined;
    cache.on("error", (error: Error) => {
      reason ??= error;
    });
    try {
      await cache.connect();
      return await work(cache);
    } catch (error) {
      throw reason ?? error;
    } finally {
      cache.disconnect();
    }
  }

  /** `use`, again until it works: a fail-over ends connections. */
  async soon<T>(work: (cache: Redis) => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.use(work);
      } catch (error) {
        if (tries > TRIES) throw error;
        await sleep(PAUSE);
      }
    }
  }

  /** Through a client that asks for the cluster's nodes and goes to them itself. */
  async clustered<T>(work: (cache: Cluster) => Promise<T>): Promise<T> {
    const { hostname, port, username, password } = new URL(this.url);
    const redisOptions = { username, password, tls: { ca: this.ca } };
    const cache = new Cluster([{ host: hostname, port: Number(port) }], { redisOptions });
    // A lost connection is made again; what a command needed says so itself.
    cache.on("error", () => undefined);
    try {
      return await work(cache);
    } finally {
      cache.disconnect();
    }
  }

  /** What a node says that it is: "master" or "slave". */
  async roleOf(part: string): Promise<string> {
    const ask = "REDISCLI_AUTH=$(cat /etc/pgladder/door.password) valkey-cli --no-auth-warning --user ladder_cache_door --tls";
    const { Ports } = (await this.#stack.docker.getContainer(this.#stack.container(part)).inspect()).NetworkSettings;
    const port = Object.keys(Ports)
      .find((key) => Ports[key])!
      .split("/")[0];
    return (await this.#stack.exec(part, ["sh", "-c", `${ask} --cacert /etc/pgladder/ca.crt -p ${port} role`])).split("\n")[0]!;
  }
}
