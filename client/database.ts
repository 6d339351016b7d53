/** `connect`, and the two things it gives: a database and its sessions. */
import { LRUCache } from "lru-cache";
import type { Table } from "./catalog.ts";
import { type ConnectOptions, poolSettings, readConfig } from "./config.ts";
import { NEVER_REPLAYED, parseLsn, showLsn } from "./lsn.ts";
import { type Core, type Memory, Operations } from "./operations.ts";
import { ConnectionPool, type PoolFigures } from "./pool.ts";
import { type ReadFigures, Split } from "./split.ts";
import type { Tenant } from "./tenant.ts";

export interface DatabaseFigures {
  write: PoolFigures;
  read: PoolFigures;
  reads: ReadFigures;
}

export interface SessionOptions {
  /** `token` of an earlier session, of this process or another. @default none: nothing was written yet */
  token?: string | undefined;
  /** Set in every transaction of the session by `ladder.set_tenant`, for row-level security. @default none */
  tenant?: Tenant;
}

/** What a table's description may be old. */
const DESCRIPTIONS_MS = 60_000;

/**
 * Makes the pools. Nothing is connected yet; `ready` does that.
 * @throws InputError with every problem of the options and of the environment variables.
 */
export function connect(options: ConnectOptions = {}): Database {
  const config = readConfig(options);
  const writes = new ConnectionPool(poolSettings(config, "write"));
  const reads = new ConnectionPool(poolSettings(config, "read"));
  return new Database(writes, reads, new Split(reads, writes, config));
}

/** Reads through it may be a little old. Where somebody reads what they have just written, use a session. */
export class Database extends Operations {
  readonly #core: Core;
  readonly #reads: ConnectionPool;

  constructor(writes: ConnectionPool, reads: ConnectionPool, split: Split) {
    const core: Core = {
      writes,
      split,
      tables: new LRUCache<string, Table>({ max: 1000, ttl: DESCRIPTIONS_MS }),
    };
    super(core, {});
    this.#core = core;
    this.#reads = reads;
  }

  /** Opens the connections that each pool keeps (`min`). @throws the driver's error when the write or read URL leads nowhere. */
  async ready(): Promise<void> {
    await Promise.all([this.#core.writes.warm(), this.#reads.warm()]);
  }

  /** One reader who sees what they wrote: make one for each request or user. Costs nothing. @throws InputError for a token that is none. */
  session({ token, tenant }: SessionOptions = {}): Session {
    return new Session(this.#core, { tenant, after: token === undefined ? undefined : parseLsn(token) });
  }

  /** What the pools and the split did so far. */
  figures(): DatabaseFigures {
    return { write: this.#core.writes.figures(), read: this.#reads.figures(), reads: this.#core.split.figures() };
  }

  /** Waits for what is running, then closes every connection. */
  async close(): Promise<void> {
    this.#core.split.close();
    await Promise.all([this.#core.writes.close(), this.#reads.close()]);
  }
}

/** Reads include every write that was acknowledged through this session, and through those whose token it was given. */
export class Session extends Operations {
  readonly #memory: Memory;

  constructor(core: Core, memory: Memory) {
    super(core, memory);
    this.#memory = memory;
    memory.wrote = (lsn) => {
      const { after } = memory;
      // A certain place after an uncertain one: the log is one, so everything before is below it.
      const known = after === undefined || after === NEVER_REPLAYED;
      memory.after = known || lsn > after ? lsn : after;
    };
  }

  /** What another session needs to see this one's writes; undefined when there are none. A place in the log, nothing secret. */
  get token(): string | undefined {
    const { after } = this.#memory;
    return after === undefined ? undefined : showLsn(after);
  }
}
