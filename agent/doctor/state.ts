/** What is under way on the server just now, and what an earlier change of a table has left. */
import type pg from "pg";
import type { TableConfig } from "../../plan/config/tables.ts";
import { lastRuns, UNDER_WAY } from "../convert/store.ts";
import type { Relation } from "./catalog.ts";
import { block, cost, type Finding, fine } from "./finding.ts";

/** Transactions that are older hold up the beginning of a copy, and the flip. Seconds. */
const LONG = 60;

/** Whether the declared partitions are there, and no conversion is between two tables. */
export async function partitionFindings(
  client: pg.Client,
  tables: readonly { relation: Relation; config: TableConfig }[],
  partitions: boolean,
): Promise<Finding[]> {
  const { rows } = await client.query<{ there: boolean }>("select to_regclass('ladder.conversion') is not null as there");
  const runs = rows[0]!.there ? await lastRuns(client) : [];
  const runOf = ({ schema, table }: Relation) => runs.find((run) => run.schema === schema && run.table === table);
  return tables.flatMap(({ relation, config }) => {
    const run = runOf(relation);
    if (run && run.state !== "blocked" && UNDER_WAY.includes(run.state))
      return [
        block(
          relation.name,
          `it is being converted (${run.state})`,
          "wait; or take the declaration of its partitions back: bin/ladder conversions",
        ),
      ];
    if (run?.state === "kept")
      return [block(relation.name, "the old table of its conversion is kept, and gets every write", "bin/ladder finish")];
    return shapeFinding(relation, config, partitions, run !== undefined && !["done", "kept"].includes(run.state));
  });
}

function shapeFinding(
  { name, partitioned }: Relation,
  { partition, plain }: TableConfig,
  partitions: boolean,
  refused: boolean,
): Finding[] {
  if (partition === null) {
    if (plain && partitioned && partitions) return [block(name, "it is to become whole again first", "wait: bin/ladder conversions")];
    return [];
  }
  if (partitioned) {
    if (partitioned.kind === partition.kind && partitioned.columns.length === 1 && partitioned.columns[0] === partition.by) return [];
    return [
      cost(
        name,
        `it is partitioned by ${partitioned.kind} of ${partitioned.columns.join(", ")}, and declared by ${partition.kind} of ${partition.by}`,
        "it stays as it is, on the shards too; declare what it is",
      ),
    ];
  }
  if (!partitions) return [fine(name, `becomes partitioned by ${partition.by} at stage 3`)];
  if (refused)
    return [cost(name, "its conversion was not possible or was undone: it goes to the shards unpartitioned", "bin/ladder conversions")];
  return [block(name, `it is not partitioned by ${partition.by} yet`, "wait: bin/ladder conversions")];
}

interface Doing {
  kind: "lock" | "index" | "prepared" | "transaction";
  object: string;
  what: string;
  seconds: number;
  fix: string;
}

const DOING = `
with recursive mine as (
  select c.oid from unnest($1::name[], $2::name[]) t(home, name) join pg_namespace n on n.nspname = t.home join pg_class c on c.relnamespace = n.oid and c.relname = t.name
  union select i.inhrelid from mine m join pg_inherits i on i.inhparent = m.oid)
select 'lock' as kind, l.relation::regclass::text as object, format('%s: %s', l.mode, left(regexp_replace(a.query, '\\s+', ' ', 'g'), 100)) as what,
  extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds, format('wait, or select pg_terminate_backend(%s)', l.pid) as fix
 from pg_locks l join pg_stat_activity a using (pid)
 where l.locktype = 'relation' and l.database = (select oid from pg_database where datname = current_database()) and l.relation in (select oid from mine)
  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') and a.backend_type = 'client backend' and l.pid <> pg_backend_pid()
union all
select 'index', relid::regclass::text, command || ', ' || phase, 0, 'wait: bin/ladder progress' from pg_stat_progress_create_index
 where datname = current_database() and relid in (select oid from mine)
union all
select 'prepared', gid, owner::text, extract(epoch from clock_timestamp() - prepared)::float8, format('commit prepared %L; or rollback prepared %L', gid, gid)
 from pg_prepared_xacts where database = current_database()
union all
select 'transaction', coalesce(nullif(a.application_name, ''), a.usename, a.backend_type), format('%s: %s', a.state, left(regexp_replace(a.query, '\\s+', ' ', 'g'), 100)),
  extract(epoch from clock_timestamp() - a.xact_start)::float8, format('wait, or select pg_terminate_backend(%s)', a.pid)
 from pg_stat_activity a where a.datname = current_database() and a.xact_start < clock_timestamp() - $3 * interval '1 second'
  and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
order by 1, 2`;

/** Changes of the tables' and their partitions' definitions, prepared and long transactions. Waits for no table. */
export async function doingFindings(client: pg.Client, tables: readonly { schema: string; table: string }[]): Promise<Finding[]> {
  const { rows } = await client.query<Doing>(DOING, [tables.map(({ schema }) => schema), tables.map(({ table }) => table), LONG]);
  return rows.map(doingFinding);
}

function doingFinding({ kind, object, what, seconds, fix }: Doing): Finding {
  switch (kind) {
    case "lock":
      return block(object, `a change of the table is under way (${what})`, fix);
    case "index":
      return block(object, `an index is being built (${what})`, fix);
    case "prepared":
      return block(
        `prepared transaction ${object}`,
        `of ${what}, for ${Math.round(seconds)} s; PREPARE TRANSACTION fails behind the gateway`,
        fix,
      );
    case "transaction":
      return cost(object, `a transaction that is ${Math.round(seconds)} s old: a copy and the flip wait for such ones (${what})`, fix);
  }
}
