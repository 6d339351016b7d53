/**
 * Sequences that belong to a column. They stay in the application's schema while tables change places, so they are taken from their columns before
 * and given back after: both wait for transactions that have drawn a number, which nobody should do while a table is locked.
 */
import type pg from "pg";
import type { Fleet, GlobalTable } from "../types.ts";
import { named } from "./names.ts";

interface Owned {
  oid: number;
  sequence: string;
  attribute: string;
}

async function ownedSequences(gateway: pg.Client, { schema, table }: GlobalTable): Promise<Owned[]> {
  const { rows } = await gateway.query<Owned>(
    `select s.oid, format('%I.%I', sn.nspname, s.relname) as sequence, a.attname as attribute
       from pg_depend d join pg_class s on s.oid = d.objid join pg_namespace sn on sn.oid = s.relnamespace
       join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
      where d.refobjid = to_regclass($1) and d.refclassid = 'pg_class'::regclass and d.classid = 'pg_class'::regclass and s.relkind = 'S' and d.deptype = 'a'`,
    [named(schema, table)],
  );
  return rows;
}

/**
 * Takes the sequences of tables from their columns and remembers whose they are. Waits for locks: run it some time before a swap, which does it
 * too where it was not done.
 */
export async function disownSequences(gateway: pg.Client, { tables }: Pick<Fleet, "tables">): Promise<void> {
  for (const table of tables) await disown(gateway, table);
}

async function disown(gateway: pg.Client, table: GlobalTable): Promise<void> {
  for (const { oid, sequence, attribute } of await ownedSequences(gateway, table)) {
    await gateway.query(
      `insert into ladder.disowned_sequence (sequence, schema, relation, attribute) values ($1, $2, $3, $4)
       on conflict (sequence) do update set schema = excluded.schema, relation = excluded.relation, attribute = excluded.attribute`,
      [oid, table.schema, table.table, attribute],
    );
    await gateway.query(`alter sequence ${sequence} owned by none`);
  }
}

/**
 * Gives sequences back to the columns of their names, in whatever table has the name now: after the flip, after the way back, and when a climb is given
 * up. Waits for locks: set lock_timeout and repeat. A sequence or column that is gone is forgotten.
 */
export async function ownSequences(gateway: pg.Client, { tables }: Pick<Fleet, "tables">): Promise<void> {
  const { rows } = await gateway.query<{ oid: number; sequence: string | null; column: string | null }>(
    `select d.sequence as oid, (select format('%I.%I', n.nspname, s.relname) from pg_class s join pg_namespace n on n.oid = s.relnamespace where s.oid = d.sequence) as sequence,
        (select format('%I.%I.%I', d.schema, d.relation, a.attname) from pg_attribute a
          where a.attrelid = to_regclass(format('%I.%I', d.schema, d.relation)) and a.attname = d.attribute and not a.attisdropped) as column
       from ladder.disowned_sequence d where (d.schema, d.relation) in (select * from unnest($1::name[], $2::name[]))`,
    [tables.map(({ schema }) => schema), tables.map(({ table }) => table)],
  );
  for (const { oid, sequence, column } of rows) {
    if (sequence !== null && column !== null) await gateway.query(`alter sequence ${sequence} owned by ${column}`);
    await gateway.query("delete from ladder.disowned_sequence where sequence = $1", [oid]);
  }
}
