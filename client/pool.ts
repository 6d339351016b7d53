/**
 * One pool of connections: node-postgres's own, plus what the requirement documents ask for beside it. A connection is checked before use
 * and reset on return. Reset means that an open transaction is rolled back and nothing else: behind a pooler in transaction mode there
 * is no session whose state could be left over.
 */
import { createHistogram } from "node:perf_hooks";
import pg from "pg";
import { driverUrl, type PoolSettings } from "./config.ts";
import { isLossAnswer, PoolTimeout } from "./errors.ts";

/** What a pool shows. Counters count from the pool's start. */
export interface PoolFigures {
  /** Connections it is made for, and with the overflow. */
  size: number;
  max: number;
  /** Connections that are open; of them unused. */
  open: number;
  idle: number;
  /** Callers that wait for a connection now. */
  waiting: number;
  checkouts: number;
  /** Time from asking for a connection to having it, ms. */
  waitP50: number;
  waitP99: number;
  /** Connections made. */
  connects: number;
  /** Connections thrown away: broken, too old, or not to be reset. */
  discarded: number;
  /** Callers who got no connection: of those, for want of a free one. */
  errors: number;
  timeouts: number;
}

/** A connection on loan. */
export interface Lease {
  readonly client: pg.PoolClient;
  /** Whether the connection is gone, after this error. */
  lost(error?: unknown): boolean;
  /** Gives it back, once. An open transaction is rolled back first, while the caller goes on. */
  release(): void;
}

interface Known {
  made: number;
  returned: number;
  lost: boolean;
}

export class ConnectionPool {
  readonly #settings: PoolSettings;
  readonly #pool: pg.Pool;
  readonly #known = new WeakMap<pg.ClientBase, Known>();
  readonly #waits = createHistogram();
  #checkouts = 0;
  #connects = 0;
  #discarded = 0;
  #errors = 0;
  #timeouts = 0;

  constructor(settings: PoolSettings) {
    this.#settings = settings;
    const { url, size, overflow, min, checkoutTimeout, connectTimeout, idle, lifetime, applicationName, pipelined } = settings;
    /** node-postgres has one time-out for both: the pool's is the checkout's, the connection's own is this. */
    class Connection extends pg.Client {
      constructor() {
        super({
          connectionString: driverUrl(url),
          connectionTimeoutMillis: connectTimeout,
          application_name: applicationName,
          keepAlive: true,
          pipeline: pipelined,
        });
      }
    }
    this.#pool = new pg.Pool({
      Client: Connection,
      max: size + overflow,
      min,
      connectionTimeoutMillis: checkoutTimeout,
      idleTimeoutMillis: idle,
      maxLifetimeSeconds: lifetime / 1000,
    });
    this.#pool.on("connect", (client) => {
      this.#connects++;
      const known: Known = { made: performance.now(), returned: Number.POSITIVE_INFINITY, lost: false };
      this.#known.set(client, known);
      for (const event of ["error", "end"] as const)
        client.on(event, () => {
          known.lost = true;
        });
    });
    this.#pool.on("error", () => {
      this.#discarded++;
    });
  }

  /**
   * A connection that answers.
   * @throws PoolTimeout when none was free in time; the driver's error when none could be made.
   */
  async take(): Promise<Lease> {
    const start = performance.now();
    for (;;) {
      const client = await this.#checkout();
      if (await this.#usable(client)) {
        this.#checkouts++;
        this.#waits.record(Math.max(1, Math.round((performance.now() - start) * 1000)));
        return this.#lease(client);
      }
      this.#discarded++;
      client.release(true);
    }
  }

  /** Opens connections, one after another so that nobody waits behind them, until so many are open, `max` at most. @throws what `take` throws. */
  async warm(open = this.#settings.min): Promise<void> {
    const taken: Lease[] = [];
    try {
      while (this.#pool.totalCount < Math.min(open, this.figures().max)) taken.push(await this.take());
    } finally {
      for (const lease of taken) lease.release();
    }
  }

  figures(): PoolFigures {
    const { size, overflow } = this.#settings;
    const at = (percentile: number) => (this.#waits.count > 0 ? this.#waits.percentile(percentile) / 1000 : 0);
    return {
      size,
      max: size + overflow,
      open: this.#pool.totalCount,
      idle: this.#pool.idleCount,
      waiting: this.#pool.waitingCount,
      checkouts: this.#checkouts,
      waitP50: at(50),
      waitP99: at(99),
      connects: this.#connects,
      discarded: this.#discarded,
      errors: this.#errors,
      timeouts: this.#timeouts,
    };
  }

  /** Waits for connections on loan, then closes all. */
  close(): Promise<void> {
    return this.#pool.end();
  }

  async #checkout(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      this.#errors++;
      if (!(error instanceof Error) || error.message !== "timeout exceeded when trying to connect") throw error;
      this.#timeouts++;
      const { name, checkoutTimeout } = this.#settings;
      const { open, max, waiting } = this.figures();
      throw new PoolTimeout(
        `${name} pool: no connection free within ${checkoutTimeout / 1000} s: ${open} of ${max} in use, ${waiting} more waiting`,
        { cause: error },
      );
    }
  }

  async #usable(client: pg.PoolClient): Promise<boolean> {
    const { recycle, checkAfter, connectTimeout } = this.#settings;
    const { made, returned, lost } = this.#known.get(client)!;
    const now = performance.now();
    if (lost || (recycle > 0 && now - made > recycle)) return false;
    const unused = now - returned;
    if (unused < 0 || (checkAfter > 0 && unused <= checkAfter)) return true;
    const check = { text: "select 1", query_timeout: connectTimeout };
    return client.query(check).then(
      () => true,
      () => false,
    );
  }

  #lease(client: pg.PoolClient): Lease {
    const known = this.#known.get(client)!;
    let fatal = false;
    const lost = (error?: unknown) => {
      fatal ||= isLossAnswer(error);
      return fatal || known.lost;
    };
    const end = (broken: boolean) => {
      known.returned = performance.now();
      if (broken) this.#discarded++;
      client.release(broken);
    };
    const release = () => {
      if (lost()) end(true);
      else if (client.getTransactionStatus() === "I") end(false);
      else
        client.query("rollback").then(
          () => end(false),
          () => end(true),
        );
    };
    return { client, lost, release };
  }
}
