/** `connect`, and the two things it gives: a database and its sessions. */
import { InputError, type Ms, type Problem } from "../plan/types.ts";
import { type ConnectOptions, readConfig } from "./config.ts";
import { parseLsn, showLsn } from "./lsn.ts";
import { type Core, type Memory, remembering } from "./operations.ts";
import { KEY_TYPES, type KeyType } from "./shards/bucket.ts";
import { LEASE_MS, type ShardMap } from "./shards/map.ts";
import { databaseOf, Server, type ServerFigures } from "./shards/open.ts";
import { Routed, type Routing } from "./shards/routed.ts";
import { Router } from "./shards/router.ts";
import type { Tenant } from "./tenant.ts";

export interface DatabaseFigures extends ServerFigures {
  /** Of the pools that lead straight to shards, by the shard's database at the pooler. */
  shards: Readonly<Record<string, ServerFigures>>;
}

export interface SessionOptions {
  /** `token` of an earlier session, of this process or another. @default none: nothing was written yet */
  token?: string | undefined;
  /** Set in every transaction of the session by `ladder.set_tenant`, for row-level security. @default none */
  tenant?: Tenant;
}

export interface RoutingOptions {
  /** Type of the shard keys, for `shard`. @default `bigint` for numbers, none for texts */
  shardKey?: KeyType;
  /** How long a shard map that was read is relied on without asking the shards, ms, at most the default; 0: never. @default 15 s */
  mapLease?: Ms | number;
}

/**
 * Makes the pools. Nothing is connected yet; `ready` does that.
 * @throws InputError with every problem of the options and of the environment variables.
 */
export function connect({ shardKey, mapLease = LEASE_MS, ...options }: ConnectOptions & RoutingOptions = {}): Database {
  const problems: Problem[] = [];
  if (shardKey !== undefined && !KEY_TYPES.includes(shardKey))
    problems.push({ path: "shardKey", got: shardKey, want: KEY_TYPES.join(", ") });
  if (!(mapLease >= 0 && mapLease <= LEASE_MS)) problems.push({ path: "mapLease", got: mapLease, want: `0 to ${LEASE_MS} ms` });
  if (problems.length > 0) throw new InputError("client", problems);
  const config = readConfig(options);
  const main = new Server(config);
  return new Database(main, { router: new Router(main, config, mapLease), shardKey }, databaseOf(config.writeUrl));
}

/** Reads through it may be a little old. Where somebody reads what they have just written, use a session. */
export class Database extends Routed {
  readonly #main: Server;
  readonly #routing: Routing;
  readonly #name: string;

  /** @param name of the write URL's database */
  constructor(main: Server, routing: Routing, name: string) {
    super(main.core, {}, routing, () => ({}));
    this.#main = main;
    this.#routing = routing;
    this.#name = name;
  }

  /** Opens the connections that each pool keeps (`min`). @throws the driver's error when the write or read URL leads nowhere. */
  async ready(): Promise<void> {
    await this.#main.ready();
    await this.#routing.router.ready();
  }

  /** One reader who sees what they wrote: make one for each request or user. Costs nothing. @throws InputError for a token that is none. */
  session({ token, tenant }: SessionOptions = {}): Session {
    return new Session(this.#main.core, this.#routing, this.#name, { token, tenant });
  }

  /** Which shard has which bucket, as this process knows it. */
  shardMap(): Promise<ShardMap> {
    return this.#routing.router.map();
  }

  /** What the pools and the split did so far. */
  figures(): DatabaseFigures {
    return { ...this.#main.figures(), shards: this.#routing.router.figures() };
  }

  /** Waits for what is running, then closes every connection. */
  async close(): Promise<void> {
    await Promise.all([this.#main.close(), this.#routing.router.close()]);
  }
}

/** Reads include every write that was acknowledged through this session, and through those whose token it was given. */
export class Session extends Routed {
  readonly #main: Memory;
  /** By the shard's database. */
  readonly #shards: Map<string, Memory>;

  constructor(core: Core, routing: Routing, name: string, { token, tenant }: { token: string | undefined; tenant: Tenant | undefined }) {
    const places = readToken(token);
    const main = remembering(tenant, places.get(""));
    places.delete("");
    const shards = new Map<string, Memory>([...places].map(([shard, after]) => [shard, remembering(tenant, after)]));
    super(core, main, routing, (shard) => {
      if (shard === name) return main;
      const known = shards.get(shard) ?? remembering(tenant, undefined);
      shards.set(shard, known);
      return known;
    });
    this.#main = main;
    this.#shards = shards;
  }

  /** What another session needs to see this one's writes; undefined when there are none. Places in logs, nothing secret. */
  get token(): string | undefined {
    const places = [["", this.#main] as const, ...this.#shards].flatMap(([shard, { after }]) =>
      after === undefined ? [] : [shard === "" ? showLsn(after) : `${shard}=${showLsn(after)}`],
    );
    return places.length === 0 ? undefined : places.join(",");
  }
}

/** Places by shard; the write URL's server has no name. */
function readToken(token: string | undefined): Map<string, bigint> {
  const parts = token === undefined ? [] : token.split(",");
  return new Map(
    parts.map((part) => {
      const at = part.lastIndexOf("=");
      return [part.slice(0, Math.max(0, at)), parseLsn(part.slice(at + 1))] as const;
    }),
  );
}
