/** The partitions of a shard's tables: the same as where its rows come from. */
import type pg from "pg";
import { type Partition, tableConfig } from "../../plan/config/tables.ts";
import { advanceConversions } from "../convert/index.ts";
import { inTransaction, onServer } from "./session.ts";
import { qualified } from "./sql.ts";
import type { Fleet, GlobalTable, Server, Shard } from "./types.ts";

interface Part {
  schema: string;
  table: string;
  /** Whose partition it is: schema.name, quoted. */
  parent: string;
  /** `FOR VALUES …` or `DEFAULT`. */
  bounds: string;
  /** `RANGE (…)` where it is partitioned itself. */
  by: string | null;
  kind: string;
}

interface Whole {
  /** `RANGE (inserted_at)`; null for a table that is not partitioned. */
  by: string | null;
  /** Its only partition column, without quotes. */
  column: string | null;
  parts: Part[];
}

const PARTS = `
select n.nspname as schema, c.relname as table, c.relkind as kind, format('%I.%I', pn.nspname, p.relname) as parent, pg_get_expr(c.relpartbound, c.oid) as bounds,
  pg_get_partkeydef(c.oid) as by
from pg_partition_tree($1::regclass) t join pg_class c on c.oid = t.relid join pg_namespace n on n.oid = c.relnamespace
join pg_class p on p.oid = t.parentrelid join pg_namespace pn on pn.oid = p.relnamespace
where t.level > 0 order by t.level, pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT', n.nspname, c.relname`;

async function describe(client: pg.Client, name: string): Promise<Whole | undefined> {
  const { rows } = await client.query<Pick<Whole, "by" | "column">>(
    `select pg_get_partkeydef(c.oid) as by, (select attname from pg_attribute where attrelid = c.oid and partnatts = 1 and attnum = partattrs[0]) as column
     from pg_class c left join pg_partitioned_table on partrelid = c.oid where c.oid = to_regclass($1) and c.relkind in ('r', 'p')`,
    [name],
  );
  if (!rows[0]) return undefined;
  const { rows: parts } = rows[0].by === null ? { rows: [] } : await client.query<Part>(PARTS, [name]);
  return { ...rows[0], parts };
}

/** The declaration that a conversion needs to split a table by the same column; its partitions are corrected afterwards. */
function declarationOf(name: string, { by, column }: Whole): Partition {
  const kind = /^(RANGE|LIST|HASH) /.exec(by ?? "")?.[1]?.toLowerCase();
  if (kind === undefined || column === null) throw new Error(`${name}: got a table partitioned by ${by}, want one column`);
  if (kind === "list") return { kind, by: column, partitions: {} };
  return kind === "hash" ? { kind, by: column, modulus: 2 } : { kind: "range", by: column, every: "year", ahead: 1, keep: null };
}

const PATIENCE = 200;

/**
 * Splits a table on a shard, whose rows are few or none, as a climb to stage 3 does: with the same keys, and nothing left behind. One that is
 * partitioned already stays as it is.
 *
 * @throws Error with what stands in the way.
 */
export async function partitionTable(
  shard: Server,
  { schema, table }: GlobalTable,
  partition: Partition,
  log: (line: string) => void,
): Promise<void> {
  const name = `${schema}.${table}`;
  const options = {
    connect: shard.connect,
    tables: { [name]: { ...tableConfig({}), partition } },
    partitions: true,
    log,
    done: log,
    recheck: 0,
  };
  for (let tries = 0; tries < PATIENCE; tries++) {
    await advanceConversions(options);
    const state = await onServer(shard, async (client) => {
      const { rows } = await client.query<{ state: string; why: string | null; partitioned: boolean }>(
        `select c.state, coalesce(c.error, (select string_agg(concat_ws(': ', p ->> 'object', p ->> 'why'), '; ') from jsonb_array_elements(c.problems) p where p ->> 'level' = 'blocks')) as why,
           (select relkind = 'p' from pg_class where oid = to_regclass(format('%I.%I', $1::text, $2::text))) as partitioned
         from (select) one left join lateral (select * from ladder.conversion where schema_name = $1 and table_name = $2 order by id desc limit 1) c on true`,
        [schema, table],
      );
      const found = rows[0]!;
      if (found.state === "kept") await client.query("select ladder.finish_conversion(to_regclass($1))", [qualified({ schema, table })]);
      return found;
    });
    if (state.partitioned && state.state !== "kept") return;
    if (["failed", "blocked"].includes(state.state)) throw new Error(`${name}: cannot be partitioned on the shard: ${state.why}`);
  }
  throw new Error(`${name}: not partitioned on the shard yet, want no long transactions on it`);
}

/** Drops partitions that the source has not, which must be empty, and makes those that are missing; returns how many were made. */
async function alignParts(client: pg.Client, name: string, wanted: readonly Part[]): Promise<number> {
  const present = (await describe(client, name))!.parts;
  const same = (a: Part, b: Part) =>
    a.schema === b.schema && a.table === b.table && a.parent === b.parent && a.bounds === b.bounds && a.by === b.by;
  for (const part of present.toReversed()) {
    if (wanted.some((other) => same(part, other))) continue;
    const { rows } = await client.query<{ filled: boolean }>(`select exists (select from ${qualified(part)}) as filled`);
    if (rows[0]!.filled) throw new Error(`${qualified(part)}: got rows in a partition that the source of the copy has not, want it empty`);
    await client.query(`drop table ${qualified(part)}`);
  }
  const missing = wanted.filter((part) => !present.some((other) => same(part, other)));
  for (const part of missing) {
    const child = qualified(part);
    await client.query(
      `create table ${child} partition of ${part.parent} ${part.bounds}${part.by === null ? "" : ` partition by ${part.by}`}`,
    );
    if (part.by === null) await client.query("select ladder.make_alike($1::regclass, $2::regclass)", [part.parent, child]);
    else await client.query("select ladder.own_alike($1::regclass, $2::regclass)", [part.parent, child]);
  }
  return missing.length;
}

/**
 * Gives the sharded tables of a shard the partitions that they have on the source: the gateway before the flip, or another shard. Tables that are
 * still whole there are split first. Safe to repeat; the shard's upkeep of partitions goes on from there.
 *
 * @throws Error with what stands in the way; 55P03 when a table is in use.
 */
export async function copyPartitions(source: Server, shard: Shard, { tables, log }: Pick<Fleet, "tables" | "log">): Promise<void> {
  for (const table of tables) {
    const name = qualified(table);
    const wanted = await onServer(source, (client) => describe(client, name));
    if (!wanted || wanted.by === null) continue;
    if (wanted.parts.some(({ kind }) => kind === "f")) throw new Error(`${name}: got a gateway's tree, want a server that has the rows`);
    const had = await onServer(shard, (client) => describe(client, name));
    if (!had) throw new Error(`${shard.database}: ${name}: got no such table, want the migrations applied`);
    if (had.by === null) await partitionTable(shard, table, declarationOf(name, wanted), () => undefined);
    else if (had.by !== wanted.by) throw new Error(`${shard.database}: ${name}: got a table partitioned by ${had.by}, want ${wanted.by}`);
    const made = await onServer(shard, async (client) => {
      const count = await inTransaction(client, () => alignParts(client, name, wanted.parts));
      await client.query(
        "select ladder.adopt_partitions(to_regclass(relation)) from ladder.declared_table where to_regclass(relation) = to_regclass($1) and kind is not null",
        [name],
      );
      return count;
    });
    if (made > 0) log(`${shard.database}: ${name}: ${made} partitions made`);
  }
}
