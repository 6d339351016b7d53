/** Writes what is declared about tables into ladder.declared_table, and takes the partitioned ones among them into upkeep. */
import type { TableConfig } from "../../plan/config/tables.ts";
import type { Settler } from "./index.ts";

/** A row of ladder.declared_table, as far as the configuration gives it. */
interface Declared {
  name: string;
  schema: string;
  table: string;
  kind: string | null;
  partition_column: string | null;
  every: string | null;
  ahead: number | null;
  keep: string | null;
  list: Readonly<Record<string, readonly string[]>> | null;
  modulus: number | null;
  shard_by: string | null;
  is_global: boolean;
  tenant: string | null;
  autovacuum: string | null;
  plain: boolean;
}

const QUARTER_MONTHS = 3;

/** PostgreSQL's intervals know no quarters. */
function interval(keep: string): string {
  const [count, unit] = keep.split(" ");
  return unit?.startsWith("quarter") ? `${Number(count) * QUARTER_MONTHS} months` : keep;
}

function declared(name: string, { partition, shardBy, global, tenant, autovacuum, plain }: TableConfig): Declared {
  const [schema, table] = name.includes(".") ? (name.split(".") as [string, string]) : (["public", name] as const);
  const range = partition?.kind === "range" ? partition : null;
  return {
    name,
    schema,
    table,
    kind: partition?.kind ?? null,
    partition_column: partition?.by ?? null,
    every: range?.every ?? null,
    ahead: range?.ahead ?? null,
    keep: range?.keep ? interval(range.keep) : null,
    list: partition?.kind === "list" ? partition.partitions : null,
    modulus: partition?.kind === "hash" ? partition.modulus : null,
    shard_by: shardBy,
    is_global: global,
    tenant,
    autovacuum,
    plain,
  };
}

const COLUMNS = "kind, partition_column, every, ahead, keep, list, modulus, shard_by, is_global, tenant, autovacuum, plain";

const UPSERT = `
  insert into ladder.declared_table as was (name, relation, ${COLUMNS})
  select name, format('%I.%I', schema, "table"), ${COLUMNS}
  from jsonb_to_recordset($1::jsonb) as d (name text, schema text, "table" text, kind text, partition_column name, every text, ahead integer,
    keep interval, list jsonb, modulus integer, shard_by name, is_global boolean, tenant name, autovacuum text, plain boolean)
  on conflict (name) do update set (relation, ${COLUMNS}) = (select excluded.relation, ${COLUMNS.replace(/\w+/g, "excluded.$&")})`;

/** pg_partman forgets what is no longer declared; the partitions stay. */
const FORGET = `
  delete from partman.part_config p using ladder.declared_table d
  where p.automatic_maintenance = 'off' and p.parent_table = replace(d.relation, '"', '') and (d.name <> all ($1) or d.kind is distinct from 'range')`;

/**
 * A declared table that is not there, or is partitioned otherwise, is a warning: it may come with the next migration. Whole tables are left
 * to the conversion; the ones that are partitioned already are kept from now on, at every stage.
 */
export const declareTables: Settler = async (client, desired, log) => {
  const rows = Object.entries(desired.tables).map(([name, table]) => declared(name, table));
  const names = rows.map((row) => row.name);
  await client.query("begin");
  try {
    await client.query(FORGET, [names]);
    await client.query("delete from ladder.declared_table where name <> all ($1)", [names]);
    await client.query(UPSERT, [JSON.stringify(rows)]);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
  const missing = await client.query<{ name: string }>(
    "select name from ladder.declared_table where to_regclass(relation) is null order by name",
  );
  if (missing.rows.length > 0)
    log(
      `tables: ${missing.rows.map((row) => row.name).join(", ")}: got no such table, want what is declared under tables in the schema's folder`,
    );
  const kept = await client.query<{ relation: string }>("select (declared).relation from ladder.kept_table order by (declared).name");
  for (const { relation } of kept.rows) {
    try {
      const { rows: made } = await client.query<{ made: number }>("select ladder.adopt_partitions($1::regclass) as made", [relation]);
      if (made[0] && made[0].made > 0) log(`tables: ${relation}: ${made[0].made} partitions made`);
    } catch (error) {
      log(`tables: ${relation} is not kept: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  await client.query("select ladder.schedule_partition_upkeep()");
};
