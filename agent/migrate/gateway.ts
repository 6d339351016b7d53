/** Statements on a gateway, whose sharded tables are trees of foreign partitions. */
import type pg from "pg";
import { MigrationError } from "./errors.ts";
import { type Named, onGateway } from "./place.ts";
import type { Adapted, Run } from "./run.ts";
import type { Script, Statement } from "./script.ts";

/** Of the declared tables (schema.name) those that are trees, and those that are not there yet: a table that still has its rows here is no part of it. */
export async function shardedOf(client: pg.Client, declared: readonly string[]): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string }>(
    `select d as name from unnest($1::text[]) d
      where not exists (
        select from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname || '.' || c.relname = d and c.relkind in ('r', 'p')
          and not exists (select from pg_inherits i join pg_class k on k.oid = i.inhrelid and k.relkind = 'f' where i.inhparent = c.oid))`,
    [declared],
  );
  return new Set(rows.map(({ name }) => name));
}

const FIND: Readonly<Record<Named["kind"], string>> = {
  constraint: "select from pg_constraint where conrelid = to_regclass($1) and conname = $2",
  trigger: "select from pg_trigger where tgrelid = to_regclass($1) and tgname = $2",
  index: "select from pg_class where oid = to_regclass($2) and $1::text is null",
  statistics: `select from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace, concat('"', replace(stxname, '"', '""'), '"') as name
    where $2 in (name, concat('"', replace(nspname, '"', '""'), '".', name)) and $1::text is null`,
};

async function areThere(client: pg.Client, named: readonly Named[]): Promise<boolean[]> {
  const found: boolean[] = [];
  for (const { kind, table, name } of named) found.push(((await client.query(FIND[kind], [table ?? null, name])).rowCount ?? 0) > 0);
  return found;
}

/** The run of a gateway with these tables on shards. */
export function gatewayRun(run: Run, sharded: ReadonlySet<string>): Run {
  const adapt = async ({ file }: Script, { text, node, line, column }: Statement): Promise<Adapted | undefined> => {
    const placed = onGateway(node, sharded);
    if (placed === "run") return { text };
    if (placed === "skip") return undefined;
    const refuse = (message: string, want: string) => new MigrationError(file, { line, column, message, notes: [`want: ${want}`] });
    if ("message" in placed) throw refuse(placed.message, placed.want);
    const there = await areThere(run.client, placed.named);
    if (there.every(Boolean)) return { text };
    if (!there.some(Boolean) && !placed.more) return undefined;
    throw refuse("some of what it names is on the shards only, and some on the gateway", "a statement for each");
  };
  return { ...run, adapt };
}
