/** One client's connection, as an application with node-postgres has it: a pool that replaces a broken connection on the next use. */
import pg from "pg";
import { classify } from "./classify.ts";
import { now } from "./model.ts";
import { clientConfig } from "./target.ts";

export class Session {
  readonly #pool: pg.Pool;
  #made = 0;
  #busy: pg.PoolClient | undefined;

  /** @param onReconnect called for every connection after the first. */
  constructor(url: string, onReconnect: (at: number) => void) {
    this.#pool = new pg.Pool({ ...clientConfig(url), max: 1, idleTimeoutMillis: 0 });
    this.#pool.on("error", () => undefined);
    this.#pool.on("connect", (client) => {
      client.on("error", () => undefined);
      if (this.#made++ > 0) onReconnect(now());
    });
  }

  /** Makes the first connection before it is needed, so that a run does not begin with a queue for handshakes. */
  async open(): Promise<void> {
    this.give(await this.take(), false);
  }

  /** @throws what the driver throws when no connection is to be had. */
  async take(): Promise<pg.PoolClient> {
    this.#busy = await this.#pool.connect();
    return this.#busy;
  }

  /** Gives the connection back, or throws it away when it is broken. */
  give(client: pg.PoolClient, broken: boolean): void {
    this.#busy = undefined;
    client.release(broken);
  }

  /** Runs `work` on the connection. @throws what `take` and `work` throw. */
  async use<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.take();
    try {
      const result = await work(client);
      this.give(client, false);
      return result;
    } catch (error) {
      this.give(client, classify(error, false).broken);
      throw error;
    }
  }

  /** Cuts a statement that still runs: its connection is closed under it. */
  cut(): void {
    void this.#busy?.end().catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}
