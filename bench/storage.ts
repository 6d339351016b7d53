/** Storage: b-tree against BRIN, SMALLINT against TEXT, single inserts against many rows at once. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Client } from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { EXECUTION_MODE, INTENT_TYPE, RISK_LEVEL, TASK_PRIORITY, TASK_STATUS } from "../client/values.ts";
import { timed } from "./measure.ts";
import { counted, numberOf, type Scenario } from "./scenario.ts";

const sizeOf = (client: Client, relation: string) => () => numberOf(client, `select pg_relation_size('${relation}')`);

export const brin: Scenario = {
  name: "brin",
  prepare: async ({ client, rows }) => {
    const kinds = ["btree", "brin"] as const;
    const fill = (kind: string, first: number, count: number) =>
      client.query(`insert into events_${kind} select i, timestamp '2024-01-01' + i * interval '${(365 * 86_400) / rows} s', i % 1000, repeat('n', 60)
        from generate_series(${first}, ${first + count - 1}) i`);
    for (const kind of kinds) {
      await client.query(`create table events_${kind} (id bigint, at timestamp, amount integer, note text)`);
      await fill(kind, 0, rows);
      await client.query(`create index events_${kind}_at on events_${kind} using ${kind} (at)`);
      await client.query(`vacuum analyze events_${kind}`);
    }
    const of = (name: string, kind: (typeof kinds)[number], measure: () => Promise<number>, before?: () => Promise<unknown>) => ({
      name: kind === "brin" ? `BRIN ${name}`.trim() : `b-tree ${name}`.trim(),
      measure,
      ...(before ? { before } : {}),
    });
    const pair = (make: (kind: (typeof kinds)[number]) => () => Promise<number>, before?: (kind: string) => () => Promise<unknown>) =>
      [of("", "btree", make("btree"), before?.("btree")), of("", "brin", make("brin"), before?.("brin"))] as const;
    const some = Math.ceil(rows / 20);
    const read = (days: number) => (kind: string) => () =>
      timed(
        () =>
          client.query(
            `select sum(amount) from events_${kind} where at >= '2024-06-01' and at < timestamp '2024-06-01' + interval '${days} days'`,
          ),
        5,
      );
    return {
      comparisons: [
        { what: "size of an index on time", unit: "bytes", rounds: 1, variants: pair((kind) => sizeOf(client, `events_${kind}_at`)) },
        {
          what: "building it",
          unit: "ms",
          variants: pair(
            (kind) => () => timed(() => client.query(`create index events_${kind}_at on events_${kind} using ${kind} (at)`)),
            (kind) => () => client.query(`drop index events_${kind}_at`),
          ),
        },
        { what: "reading a day by it", unit: "ms", variants: pair(read(1)) },
        { what: "reading 30 days by it", unit: "ms", variants: pair(read(30)) },
        { what: `inserting ${counted(some)} rows`, unit: "ms", variants: pair((kind) => () => timed(() => fill(kind, rows, some))) },
      ],
    };
  },
};

const DOMAINS = {
  status: TASK_STATUS,
  priority: TASK_PRIORITY,
  execution_mode: EXECUTION_MODE,
  risk_level: RISK_LEVEL,
  intent_type: INTENT_TYPE,
};

/** Every value as often as the others, each column in a rhythm of its own. */
function drawn(literal: (name: string, number: number) => string, type: string): string {
  return Object.entries(DOMAINS)
    .map(([column, values], i) => {
      const list = Object.entries(values).map(([name, number]) => literal(name, number));
      return `(array[${list.join(", ")}]::${type}[])[1 + (hashint8(i * 5 + ${i}) & 1073741823) % ${list.length}] as ${column}`;
    })
    .join(", ");
}

export const smallint: Scenario = {
  name: "smallint",
  prepare: async ({ client, rows }) => {
    const variants = { text: drawn((name) => `'${name}'`, "text"), smallint: drawn((_, number) => String(number), "smallint") };
    const columns = Object.keys(DOMAINS).join(", ");
    for (const [type, list] of Object.entries(variants)) {
      await client.query(`create table tasks_${type} as
        select i as id, i % 1000 as user_id, timestamptz '2024-01-01Z' + i * interval '1 s' as created_at, ${list} from generate_series(1::bigint, ${rows}) i`);
      await client.query(`create index tasks_${type}_all on tasks_${type} (${columns});
        create index tasks_${type}_open on tasks_${type} (status, priority, created_at)`);
      await client.query(`vacuum analyze tasks_${type}`);
    }
    const mean = (type: string) => numberOf(client, `select avg(pg_column_size(t.*)) from tasks_${type} t`);
    const [asText, asNumbers] = [await mean("text"), await mean("smallint")];
    const perRow = async (type: string) => (await sizeOf(client, `tasks_${type}`)()) / rows;
    const onDisk = (await perRow("text")) - (await perRow("smallint"));
    // A stored text of this length has one byte in front of it, a SMALLINT takes two.
    const saved = (length: (names: string[]) => number): number =>
      Object.values(DOMAINS).reduce((sum, values) => sum + length(Object.keys(values)) + 1 - 2, 0);
    const lengths = (names: string[]) => names.map((name) => name.length);
    const pair = (make: (type: string) => () => Promise<number>) =>
      [
        { name: "TEXT", measure: make("text") },
        { name: "SMALLINT", measure: make("smallint") },
      ] as const;
    return {
      facts: [
        `a row with five such columns is ${asText.toFixed(1)} bytes with names and ${asNumbers.toFixed(1)} with numbers (pg_column_size, every name equally often): ${(asText - asNumbers).toFixed(1)} bytes less; ${onDisk.toFixed(1)} bytes of table less`,
        `the five columns alone save from ${saved((names) => Math.min(...lengths(names)))} bytes (shortest names) to ${saved((names) => Math.max(...lengths(names)))} (longest); the requirement document says 40`,
      ],
      comparisons: [
        { what: "row with five columns of values", unit: "bytes", rounds: 1, variants: pair((type) => () => mean(type)) },
        { what: "table", unit: "bytes", rounds: 1, variants: pair((type) => sizeOf(client, `tasks_${type}`)) },
        {
          what: "index on two of them and a time",
          unit: "bytes",
          rounds: 1,
          variants: pair((type) => sizeOf(client, `tasks_${type}_open`)),
        },
        { what: "index on the five columns", unit: "bytes", rounds: 1, variants: pair((type) => sizeOf(client, `tasks_${type}_all`)) },
        {
          what: "counting by two of them",
          unit: "ms",
          variants: pair((type) => () => timed(() => client.query(`select status, priority, count(*) from tasks_${type} group by 1, 2`))),
        },
      ],
    };
  },
};

type Line = readonly [id: number, user: number, text: string];

const linesOf = (count: number): Line[] => Array.from({ length: count }, (_, i) => [i, i % 100, `message ${i} of the bench`] as const);

async function byCopy(client: Client, lines: readonly Line[]): Promise<void> {
  const stream = client.query(copyFrom("copy loaded (id, user_id, content) from stdin"));
  await pipeline(Readable.from([lines.map((line) => `${line.join("\t")}\n`).join("")]), stream);
}

/** Chunks of 1,000 rows, one transaction. */
async function byMultiRow(client: Client, lines: readonly Line[]): Promise<void> {
  await client.query("begin");
  for (let at = 0; at < lines.length; at += 1000) {
    const part = lines.slice(at, at + 1000);
    const tuples = part.map((_, i) => `($${i * 3 + 1}, $${i * 3 + 2}, $${i * 3 + 3})`).join(", ");
    await client.query(`insert into loaded (id, user_id, content) values ${tuples}`, part.flat());
  }
  await client.query("commit");
}

async function byRow(client: Client, lines: readonly Line[]): Promise<void> {
  for (const line of lines)
    await client.query({ name: "one-row", text: "insert into loaded (id, user_id, content) values ($1, $2, $3)", values: [...line] });
}

export const loading: Scenario = {
  name: "loading",
  prepare: async ({ client, rows }) => {
    await client.query(`create table loaded (id bigint, user_id bigint, created_at timestamptz not null default now(), content text,
      primary key (user_id, id)); create index on loaded (created_at)`);
    const few = linesOf(Math.min(1000, rows));
    const many = linesOf(Math.ceil(rows / 10));
    const variant = (name: string, lines: readonly Line[], load: (client: Client, lines: readonly Line[]) => Promise<void>) => ({
      name,
      before: () => client.query("truncate loaded"),
      measure: () => timed(() => load(client, lines)),
    });
    const inOne = async (to: Client, lines: readonly Line[]): Promise<void> => {
      await to.query("begin");
      await byRow(to, lines);
      await to.query("commit");
    };
    return {
      comparisons: [
        {
          what: `loading ${counted(few.length)} rows`,
          unit: "ms",
          variants: [
            variant("an INSERT and a commit each", few, byRow),
            variant("an INSERT each, one transaction", few, inOne),
            variant("multi-row INSERT", few, byMultiRow),
            variant("COPY", few, byCopy),
          ],
        },
        {
          what: `loading ${counted(many.length)} rows`,
          unit: "ms",
          variants: [variant("multi-row INSERTs of 1,000", many, byMultiRow), variant("COPY", many, byCopy)],
        },
      ],
    };
  },
};
