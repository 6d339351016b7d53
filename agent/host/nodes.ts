/** Watches the database servers of a pooler host: who writes, who is how far behind. On RDS nothing else says so in time. */
import { lookup } from "node:dns/promises";
import pg from "pg";
import type { HostNode } from "../../plan/pooler-host.ts";

const INTERVAL = 500;
/** A server that hangs is taken for dead after this long, in ms. */
const PATIENCE = 2_000;
/** A name that does not resolve keeps its last address for a while: a fail-over moves it, an outage of DNS must not. */
const PORT = 5432;

/** What a server said last. */
export interface Seen {
  recovering: boolean;
  /** Rises with every promotion; null on a replica. */
  timeline: number | null;
  /** Bytes of WAL written (primary) or replayed (replica). */
  position: number;
  /** Seconds since 1970 of the heartbeat row. */
  beat: number;
}

/** A server's answer now, and where it was reached. */
export interface NodeState {
  name: string;
  address: string | null;
  /** null while it does not answer. */
  seen: Seen | null;
  problem: string;
}

export interface Login {
  user: string;
  password: string;
  database: string;
  /** PEM of the authorities that sign the servers' certificates. */
  ca: string;
}

export interface Limits {
  bytes?: number;
  seconds?: number;
}

const QUESTION = `select pg_is_in_recovery() as recovering,
  case when pg_is_in_recovery() then null else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end as timeline,
  (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0')::float8 as position,
  (select extract(epoch from beat)::float8 from ladder.heartbeat) as beat`;

/** One server: a connection that stays, asked again and again. */
class Watched {
  readonly node: HostNode;
  state: NodeState;
  #login: () => Login;
  #client: pg.Client | undefined;
  #stopped = false;

  constructor(node: HostNode, login: () => Login) {
    this.node = node;
    this.#login = login;
    this.state = { name: node.name, address: null, seen: null, problem: "not asked yet" };
  }

  async run(changed: () => void): Promise<void> {
    while (!this.#stopped) {
      const before = JSON.stringify([this.state.address, this.state.seen === null, this.state.seen?.recovering]);
      await this.#ask();
      if (before !== JSON.stringify([this.state.address, this.state.seen === null, this.state.seen?.recovering])) changed();
      await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
    await this.#close();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #ask(): Promise<void> {
    try {
      const address = await this.#address();
      if (address !== this.state.address) await this.#close();
      this.state = { ...this.state, address };
      this.#client ??= await this.#connect(address);
      const { rows } = await this.#client.query<Seen>(QUESTION);
      this.state = { ...this.state, seen: rows[0]!, problem: "" };
    } catch (error) {
      await this.#close();
      this.state = { ...this.state, seen: null, problem: error instanceof Error ? error.message : String(error) };
    }
  }

  /** The address that the name has now; the last one while the name service does not answer. */
  async #address(): Promise<string> {
    try {
      return (await lookup(this.node.host, { family: 4 })).address;
    } catch (error) {
      if (this.state.address !== null) return this.state.address;
      throw error;
    }
  }

  async #connect(host: string): Promise<pg.Client> {
    const { ca, ...login } = this.#login();
    const timeouts = { connectionTimeoutMillis: PATIENCE, query_timeout: PATIENCE };
    // The address is given, so that this connection and HAProxy's lead to the same server; the certificate still has to bear the name.
    const ssl = { ca, servername: this.node.host };
    const client = new pg.Client({ host, port: PORT, ...login, ...timeouts, ssl, application_name: "ladder pooler host" });
    client.on("error", () => undefined);
    try {
      await client.connect();
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    return client;
  }

  async #close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    // A hanging server would keep the end waiting.
    client?.end().catch(() => undefined);
  }
}

/** All servers of a host. */
export class Nodes {
  #watched = new Map<string, Watched>();
  #login: () => Login;
  #changed: () => void;
  /** The last word of each cluster's last primary: what replicas are measured by while there is none. */
  #leads = new Map<string, Seen>();

  constructor(login: () => Login, changed: () => void) {
    this.#login = login;
    this.#changed = changed;
  }

  /** Watches these servers and no others. */
  follow(nodes: readonly HostNode[]): void {
    for (const [name, { node: known }] of this.#watched) {
      if (nodes.some((node) => node.name === name && node.host === known.host && node.cluster === known.cluster)) continue;
      this.#watched.get(name)?.stop();
      this.#watched.delete(name);
    }
    for (const node of nodes.filter(({ name }) => !this.#watched.has(name))) {
      const watched = new Watched(node, this.#login);
      this.#watched.set(node.name, watched);
      watched.run(this.#changed);
    }
    this.#changed();
  }

  states(): NodeState[] {
    return [...this.#watched.values()].map(({ state }) => state);
  }

  /**
   * Whether a server takes its cluster's writes. Of several the one with the highest timeline, which is the one promoted last: a promoted replica
   * and the primary that it came from are two databases from then on, and the older must get no writes even while it is alone.
   */
  isPrimary(name: string): boolean {
    const watched = this.#watched.get(name);
    const timeline = watched?.state.seen?.timeline;
    const lead = watched && this.#leader(watched.node.cluster);
    return timeline !== undefined && timeline !== null && timeline === lead?.timeline;
  }

  /** Whether a server is a replica within these limits. */
  isReplica(name: string, { bytes = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY }: Limits): boolean {
    const lag = this.lag(name);
    return lag !== null && lag.bytes <= bytes && lag.seconds <= seconds;
  }

  /** How far a replica is behind the primary that was last seen; null for all else. Without a primary ever seen, behind this host's clock. */
  lag(name: string): { bytes: number; seconds: number } | null {
    const watched = this.#watched.get(name);
    const seen = watched?.state.seen;
    if (!seen?.recovering) return null;
    const lead = this.#leader(watched!.node.cluster);
    return {
      bytes: lead ? Math.max(0, lead.position - seen.position) : 0,
      seconds: Math.max(0, (lead?.beat ?? Date.now() / 1_000) - seen.beat),
    };
  }

  #leader(cluster: string): Seen | undefined {
    for (const { node, state } of this.#watched.values()) {
      const { seen } = state;
      if (node.cluster !== cluster || seen === null || seen.timeline === null) continue;
      if (seen.timeline >= (this.#leads.get(cluster)?.timeline ?? 0)) this.#leads.set(cluster, seen);
    }
    return this.#leads.get(cluster);
  }
}
