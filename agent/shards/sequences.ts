/** Every shard's sequences draw from a range of their own, so that rows of different shards never get the same id. */
import type pg from "pg";
import { ID_RANGE } from "../../plan/shards.ts";
import { InputError, type Problem } from "../../plan/types.ts";
import { inTransaction, onServer } from "./session.ts";
import { qualified } from "./sql.ts";
import type { Fleet, GlobalTable, Server, Shard } from "./types.ts";

interface Sequence {
  /** Quoted, with its schema. */
  name: string;
  /** Of the column that it fills. */
  table: string;
  column: string;
  type: string;
  minimum: string;
  maximum: string;
  step: string;
  cycles: boolean;
  last: string | null;
}

/** Sequences that defaults of the tables use, that belong to their columns, or are their identities. */
const SEQUENCES = `
with root as (select to_regclass(t)::oid as oid from unnest($1::text[]) t),
 use as (
  select d.refobjid as sequence, a.adrelid as relation, a.adnum as number
    from root join pg_attrdef a on a.adrelid = root.oid join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid and d.refclassid = 'pg_class'::regclass
   where d.refobjid <> root.oid
  union
  select d.objid, d.refobjid, d.refobjsubid::int2
    from root join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = root.oid and d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i') and d.refobjsubid > 0)
select distinct on (s.seqrelid) format('%I.%I', n.nspname, c.relname) as name, u.relation::regclass::text as table, a.attname as column,
  format_type(a.atttypid, null) as type, s.seqmin::text as minimum, s.seqmax::text as maximum, s.seqincrement::text as step, s.seqcycle as cycles,
  pg_sequence_last_value(s.seqrelid)::text as last
from use u join pg_sequence s on s.seqrelid = u.sequence join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = u.relation and a.attnum = u.number
order by s.seqrelid, a.atttypid <> all ('{int2,int4}'::regtype[])`;

/** Columns that hold every range. */
const NARROW = new Set(["smallint", "integer", "real"]);

async function sequencesOf(client: pg.Client, tables: readonly GlobalTable[]): Promise<Sequence[]> {
  const { rows } = await client.query<Sequence>(SEQUENCES, [tables.map((table) => qualified(table))]);
  const problems: Problem[] = rows.flatMap(({ name, table, column, type, step }) => [
    ...(NARROW.has(type)
      ? [{ path: `${table}.${column}`, got: `type ${type}, filled by ${name}`, want: "bigint: every shard draws from a range of its own" }]
      : []),
    ...(BigInt(step) > 0n ? [] : [{ path: name, got: `increment ${step}`, want: "one above zero" }]),
  ]);
  if (problems.length > 0) throw new InputError("sequences", problems);
  return rows;
}

async function confine(
  client: pg.Client,
  { name, minimum, maximum, cycles }: Sequence,
  least: string,
  greatest: string,
  restart: boolean,
): Promise<void> {
  const bounds = `maxvalue ${greatest} no cycle${restart ? ` minvalue ${least} start ${least} restart ${least}` : ""}`;
  if (maximum !== greatest || cycles || (restart && minimum !== least)) await client.query(`alter sequence ${name} as bigint ${bounds}`);
}

/**
 * The sequences of these tables draw from this shard's range from now on; those that do already are left alone. In the caller's transaction.
 *
 * @throws InputError for columns that are too narrow; Error where the shard has no range yet.
 */
export async function rangeSequences(shard: pg.Client, tables: readonly GlobalTable[]): Promise<void> {
  const { rows } = await shard.query<{ number: number }>("select number from ladder.id_range where incarnation = ladder.incarnation()");
  const number = rows[0]?.number;
  if (number === undefined) throw new Error("sequences: got a shard without a range of ids, want one from the gateway");
  const [least, greatest] = [String(number * ID_RANGE), String((number + 1) * ID_RANGE - 1)];
  for (const sequence of await sequencesOf(shard, tables)) await confine(shard, sequence, least, greatest, true);
}

/** The gateway goes on where it is, and stays in the first range. */
async function confineGateway(gateway: pg.Client, tables: readonly GlobalTable[]): Promise<void> {
  const sequences = await sequencesOf(gateway, tables);
  const beyond = sequences.filter(({ last }) => last !== null && BigInt(last) >= BigInt(ID_RANGE));
  if (beyond.length > 0)
    throw new InputError(
      "sequences",
      beyond.map(({ name, last }) => ({
        path: name,
        got: `value ${last}`,
        want: `one below ${ID_RANGE}: the ranges above are the shards'`,
      })),
    );
  for (const sequence of sequences) await confine(gateway, sequence, "", String(ID_RANGE - 1), false);
}

/**
 * Gives a shard its range of ids, one that no other database ever had, and makes its sequences draw from it; the gateway's stay below. The same
 * shard keeps its range. Safe to repeat.
 *
 * @returns the range's number: ids from number × ID_RANGE on.
 * @throws InputError naming every column and sequence that cannot be split; 55P03 when a sequence is in use for long.
 */
export async function giveRanges(gateway: Server, shard: Shard, fleet: Pick<Fleet, "tables">): Promise<number> {
  return onServer(shard, async (there) => {
    const { rows } = await there.query<{ incarnation: string }>("select ladder.incarnation() as incarnation");
    const { incarnation } = rows[0]!;
    const number = await onServer(gateway, async (here) => {
      await confineGateway(here, fleet.tables);
      const { rows: taken } = await here.query<{ number: number }>("select ladder.take_id_range($1, $2) as number", [
        incarnation,
        shard.database,
      ]);
      return taken[0]!.number;
    });
    await inTransaction(there, async () => {
      await there.query(
        `insert into ladder.id_range (number, incarnation, server) values ($1, $2, $3)
         on conflict (incarnation) do update set number = excluded.number where id_range.number <> excluded.number`,
        [number, incarnation, shard.database],
      );
      await rangeSequences(there, fleet.tables);
    });
    return number;
  });
}
