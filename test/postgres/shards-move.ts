/** Drives the mover without a cluster, and writes meanwhile: clients with a record of what they were told, to which the rows have to be equal. */
import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Client } from "pg";
import { applyMigrations } from "../../agent/migrate/index.ts";
import { advanceShards, type ShardsOptions } from "../../agent/shards/index.ts";
import { applyDefinitions } from "../../agent/shards/schema.ts";
import type { GlobalTable, Server, ShardedTable } from "../../agent/shards/types.ts";
import { ms } from "../../plan/types.ts";
import type { TestFleet } from "../support/shards.ts";
import type { ChildOptions } from "./shards-move-child.ts";

const CHILD = join(import.meta.dirname, "shards-move-child.ts");

export const FILES = {
  "001_tables.sql": `
    create table labels (id int primary key, name text not null);
    create sequence accounts_id;
    create table accounts (id bigint primary key default nextval('accounts_id'), hits int not null default 0, body text);
    alter sequence accounts_id owned by accounts.id;
    create index accounts_body on accounts (body);
    create sequence events_id;
    create table events (user_id bigint not null, id bigint not null default nextval('events_id'), at timestamptz not null default now(),
      hits int not null default 0, body text, primary key (user_id, id, at)) partition by range (at);
    create table events_old partition of events for values from (minvalue) to ('2026-06-01Z');
    create table events_new partition of events for values from ('2026-06-01Z') to (maxvalue);
    create index events_at on events (at, hits);
    create table tokens (owner text not null, id uuid not null default gen_random_uuid(), hits int not null default 0, body text, primary key (owner, id));
    create table notices (id int primary key, body text);`,
  "002_rows.sql": "insert into labels select n, 'label ' || n from generate_series(1, 50) n;",
};

export const TABLES: ShardedTable[] = [
  { schema: "public", table: "accounts", key: "id", keyType: "bigint" },
  { schema: "public", table: "events", key: "user_id", keyType: "bigint" },
  { schema: "public", table: "tokens", key: "owner", keyType: "text" },
];
export const GLOBALS: GlobalTable[] = [{ schema: "public", table: "labels" }];

/** The gateway's application. */
export async function install({ gateway }: TestFleet, folder: string): Promise<void> {
  await applyMigrations({
    connect: () => gateway.db.connect(),
    folder,
    set: "app",
    role: "app",
    lockTimeout: ms(2_000),
    log: () => undefined,
  });
}

export class Driver {
  readonly log: string[] = [];
  readonly shown: string[] = [];
  wanted = true;
  readonly fleet: TestFleet["fleet"];
  readonly folder: string;
  more: Partial<ShardsOptions> = {};

  constructor(fleet: TestFleet["fleet"], folder: string) {
    this.fleet = fleet;
    this.folder = folder;
  }

  options(): ShardsOptions {
    const note = (line: string) => void this.log.push(line);
    return {
      ...{
        fleet: this.fleet,
        wanted: this.wanted ? this.fleet.shards.map(({ index }) => index) : [],
        log: note,
        done: note,
        announced: ms(100),
        slice: ms(500),
      },
      define: async ({ connect, database: server }) => {
        await applyDefinitions({ connect, folder: this.folder, role: "app", lockTimeout: ms(2_000), log: () => undefined, server });
      },
      ...this.more,
    };
  }

  async advance(): Promise<string | undefined> {
    const shown = await advanceShards(this.options());
    if (shown !== undefined) this.shown.push(shown);
    return shown;
  }

  /**
   * Until nothing is to be done, with the mover cut off the first time it passes each point: its connections break, as at the end of a process.
   * Answers the points in their order.
   */
  async settleKilled(after: (point: string) => Promise<void>): Promise<string[]> {
    const killed: string[] = [];
    for (const end = Date.now() + 120_000; Date.now() < end; ) {
      const open: Client[] = [];
      let dead = false;
      const tracked = <T extends Server>(server: T): T => ({
        ...server,
        connect: async () => {
          if (dead) throw new Error("killed");
          const client = await server.connect();
          open.push(client as Client);
          return client;
        },
      });
      const fleet = { ...this.fleet, gateway: tracked(this.fleet.gateway), shards: this.fleet.shards.map(tracked) };
      const passing = async (point: string) => {
        if (dead) throw new Error("killed");
        if (killed.includes(point)) return;
        killed.push(point);
        dead = true;
        for (const client of open) (client.connection as unknown as { stream: Socket }).stream.destroy();
        throw new Error("killed");
      };
      const shown = await advanceShards({ ...this.options(), fleet, passing }).catch((error: Error) => {
        if (!dead) this.log.push(`will look again: ${error.message}`);
        return "killed";
      });
      if (shown === undefined) return killed;
      this.shown.push(shown);
      if (dead) await after(killed.at(-1)!);
      else await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`not settled: ${this.shown.at(-1)}`);
  }

  /** Until a point is passed for the first time. */
  async until(point: string): Promise<void> {
    for (const end = Date.now() + 100_000; Date.now() < end; ) {
      let passed = false;
      const passing = async (at: string) => {
        passed ||= at === point;
        if (passed) throw new Error("far enough");
      };
      await advanceShards({ ...this.options(), passing }).catch((error: Error) => {
        if (!passed) throw error;
      });
      if (passed) return;
    }
    throw new Error(`did not come to ${point}`);
  }

  /** A process of its own that is killed when it comes to the point. Answers its last word. */
  async inProcess(ports: readonly number[], point: string): Promise<string> {
    const { fleet, folder } = this;
    const options: ChildOptions = { fleet, ports, folder, wanted: this.options().wanted, point };
    const child = spawn(process.execPath, [CHILD, JSON.stringify(options)], { stdio: ["pipe", "pipe", "inherit"] });
    const said = await new Promise<string>((resolve) => {
      child.stdout.once("data", (data: Buffer) => resolve(data.toString().trim()));
      child.once("exit", () => resolve("ended"));
    });
    child.kill("SIGKILL");
    return said;
  }

  /** Until nothing is to be done. */
  async settle(within = 100_000): Promise<void> {
    for (const end = Date.now() + within; Date.now() < end; ) {
      if ((await this.advance()) === undefined) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`not settled: ${this.shown.at(-1)}`);
  }
}

interface Row {
  hits: number;
  body: string;
}

interface Target {
  name: string;
  insert: string;
  where: string;
  /** Of a new row's owner. */
  owner: (random: number) => string[];
}

const TARGETS: readonly Target[] = [
  {
    name: "accounts",
    insert: "insert into accounts (body) values ($1) returning id::text as key",
    where: "id = $1::bigint",
    owner: () => [],
  },
  {
    name: "events",
    insert:
      "insert into events (body, user_id, at) values ($1, $2, '2026-05-01Z'::timestamptz + make_interval(days => $3)) returning user_id || ' ' || id as key",
    where: "user_id = split_part($1, ' ', 1)::bigint and id = split_part($1, ' ', 2)::bigint",
    owner: (random) => [String(Math.floor(random * 500)), String(Math.floor(random * 60))],
  },
  {
    name: "tokens",
    insert: "insert into tokens (body, owner) values ($1, $2) returning owner || ' ' || id as key",
    where: "owner = split_part($1, ' ', 1) and id = split_part($1, ' ', 2)::uuid",
    owner: (random) => [`owner-${Math.floor(random * 500)}`],
  },
];
const KEYS = ["id::text", "user_id || ' ' || id", "owner || ' ' || id"];

/** Writing clients at the gateway's door. What they are told is recorded; what fails is too. */
export class Load {
  readonly failed: string[] = [];
  /** Statements that did nothing, because rows were between servers. */
  refused = 0;
  readonly record: Map<string, Row>[] = TARGETS.map(() => new Map());
  statements = 0;
  longest = 0;
  readonly #connect: () => Promise<Client>;
  #stopped = false;
  #clients: Promise<void>[] = [];

  constructor(connect: () => Promise<Client>) {
    this.#connect = connect;
  }

  /** Rows that are there before the first client. */
  async fill(rows: number): Promise<void> {
    const app = await this.#connect();
    for (const [at, { name }] of TARGETS.entries()) {
      const columns = ["body", "body, user_id, at", "body, owner"][at]!;
      const values = [
        "'first ' || n",
        "'first ' || n, n % 500, '2026-05-01Z'::timestamptz + make_interval(days => n % 60)",
        "'first ' || n, 'owner-' || n % 500",
      ][at]!;
      const filled = await app.query<{ key: string; body: string }>(
        `insert into ${name} (${columns}) select ${values} from generate_series(1, $1::int) n returning ${KEYS[at]} as key, body`,
        [rows],
      );
      for (const { key, body } of filled.rows) this.record[at]!.set(key, { hits: 0, body });
    }
    await app.query("analyze");
    await app.end();
  }

  async start(clients: number): Promise<void> {
    const first = this.record.map((rows) => [...rows.keys()]);
    const opened = await Promise.all(Array.from({ length: clients }, () => this.#connect()));
    this.#clients = opened.map((client, id) =>
      this.#write(
        client,
        first.map((keys) => keys.filter((_, n) => n % clients === id)),
      ),
    );
  }

  async #write(client: Client, own: string[][]): Promise<void> {
    while (!this.#stopped && this.failed.length < 20) {
      const at = Math.floor(Math.random() * TARGETS.length);
      const started = performance.now();
      await this.#one(client, at, own[at]!).catch((error: Error & { code?: string }) => {
        if (error.code === "LB001") this.refused += 1;
        else this.failed.push(`${TARGETS[at]!.name}: ${error.code} ${error.message}`);
      });
      this.longest = Math.max(this.longest, performance.now() - started);
      this.statements += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await client.end();
  }

  async #one(client: Client, at: number, own: string[]): Promise<void> {
    const { name, insert, where, owner } = TARGETS[at]!;
    const record = this.record[at]!;
    const pick = Math.floor(Math.random() * own.length);
    const key = own[pick];
    const body = `${Math.random()}`;
    const kind = Math.random();
    if (kind < 0.4 || key === undefined) {
      const { rows } = await client.query<{ key: string }>({
        name: `insert ${name}`,
        text: insert,
        values: [body, ...owner(Math.random())],
      });
      const made = rows[0]!.key;
      if (record.has(made)) this.failed.push(`${name}: ${made} was given twice`);
      record.set(made, { hits: 0, body });
      own.push(made);
    } else if (kind < 0.8) {
      const text = `update ${name} set body = $2, hits = hits + 1 where ${where}`;
      const { rowCount } = await client.query({ name: `update ${name}`, text, values: [key, body] });
      if (rowCount !== 1) this.failed.push(`${name}: update of ${key} changed ${rowCount} rows`);
      record.set(key, { body, hits: record.get(key)!.hits + 1 });
    } else if (kind < 0.9) {
      const { rowCount } = await client.query({ name: `delete ${name}`, text: `delete from ${name} where ${where}`, values: [key] });
      if (rowCount !== 1) this.failed.push(`${name}: delete of ${key} changed ${rowCount} rows`);
      record.delete(key);
      own.splice(pick, 1);
    } else {
      const { rows } = await client.query<Row>({
        name: `read ${name}`,
        text: `select hits, body from ${name} where ${where}`,
        values: [key],
      });
      const [got, want] = [JSON.stringify(rows), JSON.stringify([{ hits: record.get(key)!.hits, body: record.get(key)!.body }])];
      if (got !== want) this.failed.push(`${name}: read of ${key}: got ${got}, want ${want}`);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#stopped = false;
  }

  /** Rows that are lost, doubled or other than recorded, over all these servers. */
  async differences(servers: readonly Client[], schema = "public"): Promise<string[]> {
    const found: string[] = [];
    for (const [at, { name }] of TARGETS.entries()) {
      const left = new Map(this.record[at]);
      for (const server of servers) {
        const { rows } = await server.query<Row & { key: string }>(`select ${KEYS[at]} as key, hits, body from ${schema}.${name}`);
        for (const { key, hits, body } of rows) {
          const want = left.get(key);
          if (!want) found.push(`${name} ${key}: there twice, or deleted before`);
          else if (want.hits !== hits || want.body !== body)
            found.push(`${name} ${key}: got ${hits} ${body}, want ${want.hits} ${want.body}`);
          left.delete(key);
        }
      }
      found.push(...[...left.keys()].map((key) => `${name} ${key}: lost`));
    }
    return found;
  }
}

/** What is so after the mover was cut off at a point, until another one goes on. */
export interface Killed {
  point: string;
  /** Where the gateway's statements find the rows. */
  rows: "primary" | "shards";
  /** Writes are refused. */
  refused: boolean;
}

export async function lookAfter(admin: Client, app: Client): Promise<Omit<Killed, "point">> {
  await app.query("set statement_timeout = '10s'; begin");
  const refused = await app.query("insert into accounts (body) values ('probe')").then(
    () => false,
    (error: { code?: string }) => {
      if (error.code === "LB001") return true;
      throw error;
    },
  );
  await app.query("rollback");
  const { rows } = await admin.query<{ tree: boolean }>(
    "select exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'public.accounts'::regclass and c.relkind = 'f') as tree",
  );
  return { rows: rows[0]!.tree ? "shards" : "primary", refused };
}

/** What a move leaves behind on these servers, except for the copies of global tables and the shards' own rows. */
export async function leftovers(servers: readonly Client[]): Promise<string[]> {
  const found: string[] = [];
  for (const [at, server] of servers.entries()) {
    const { rows } = await server.query<{ what: string }>(
      `select 'publication ' || pubname as what from pg_publication where pubname <> 'ladder_global'
       union all select 'slot ' || slot_name from pg_replication_slots where slot_name !~ '^ladder_global_'
       union all select 'subscription ' || subname from pg_subscription where subname !~ '^ladder_global_' and subdbid = (select oid from pg_database where datname = 'app')
       union all select 'table ' || schemaname || '.' || tablename from pg_tables where schemaname in ('ladder_back', 'ladder_new', 'ladder_read')
       union all select 'trigger ' || tgname || ' on ' || tgrelid::regclass from pg_trigger where tgname = 'ladder_no_truncate'
       order by 1`,
    );
    found.push(...rows.map(({ what }) => `${at === 0 ? "gateway" : `shard ${at - 1}`}: ${what}`));
  }
  return found;
}

const HEAD = `# The mover killed at every step
<!-- written by the test postgres/shards-move with PGLADDER_WRITE_DOCS=1; it fails when this is not what happens -->
One climb onto two shards and the way back, under three writing clients, with the mover cut off once at each of its points and another one going on. After each row
the rows are where the second column says. In the end no row was lost, doubled or other than a client was told, and nothing of the move was left.
Some of the points, those of the flips among them, are passed by processes that get SIGKILL, too.

| cut off at | statements at the URL find the rows on | writes until another mover goes on | the next one |
|---|---|---|---|
`;

/** docs/sharding-kills.md. How often a step is looked at again depends on the machine. */
export const killsPage = (rows: readonly Killed[]): string =>
  `${HEAD}${rows
    .filter(({ point }) => !point.endsWith(": running"))
    .map(
      ({ point, rows: on, refused }) =>
        `| ${point} | ${on === "primary" ? "the primary" : "the shards"} | ${refused ? "refused (LB001)" : "go on"} | goes on, same end |`,
    )
    .join("\n")}
`;
