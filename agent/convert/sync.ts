/** The triggers that keep two tables equal: functions as SQL text. Pure. */
import pg from "pg";
import type { Table } from "./catalog.ts";
import type { KeyColumn } from "./store.ts";

const quote = pg.escapeIdentifier;
const literal = pg.escapeLiteral;
const list = (names: readonly string[], prefix = ""): string => names.map((name) => prefix + quote(name)).join(", ");

/** Columns that are written; generated ones follow. */
export const writtenColumns = (table: Pick<Table, "columns">): string[] =>
  table.columns.filter((column) => !column.generated).map(({ name }) => name);

export interface SyncSpec {
  /** Schema of the functions. */
  schema: string;
  /** Names of the functions start with it. */
  prefix: string;
  /** Quoted names, with schemas. */
  from: string;
  to: string;
  /** Columns that tell rows apart on both sides. */
  key: readonly KeyColumn[];
  /** Primary key of `to`. */
  arbiter: readonly KeyColumn[];
  columns: Table["columns"];
  /** Schemas of the keys' operators, beside pg_catalog. */
  operators: readonly string[];
}

/** The functions' owner, with whose rights they run; given last, because the triggers' maker must be able to call them. */
export const functionOwner = ({ schema, prefix }: SyncSpec, runner: string): string =>
  ["row", "truncate"].map((what) => `alter function ${quote(schema)}.${prefix}_${what}() owner to ${runner};`).join(" ");

/**
 * Functions `<prefix>_row` and `<prefix>_truncate`: each change of `from` reaches `to` in the same transaction.
 *
 * A row is read again by its key instead of taken from NEW: triggers of the application may have changed it once more since, and the order
 * in which triggers of one statement fire would decide which version stays. Where a transaction of REPEATABLE READ deletes a row that was copied
 * after its snapshot, the copy is invisible to it: the insert that conflicts with it ends the transaction with 40001 instead of leaving the copy.
 */
export function syncFunctions(spec: SyncSpec): string {
  const { schema, from, to, key, columns } = spec;
  const written = writtenColumns(spec);
  const names = key.map(({ name }) => name);
  const same = (alias: string, record: string) => names.map((name) => `${alias}.${quote(name)} = ${record}.${quote(name)}`).join(" and ");
  const fixed = new Set([
    ...spec.arbiter.map(({ name }) => name),
    ...columns.filter(({ identity }) => identity === "a").map(({ name }) => name),
  ]);
  const changing = written.filter((name) => !fixed.has(name));
  const update =
    changing.length === 0 ? "do nothing" : `do update set ${changing.map((name) => `${quote(name)} = excluded.${quote(name)}`).join(", ")}`;
  const arbiter = list(spec.arbiter.map(({ name }) => name));
  const path = ["pg_catalog", ...spec.operators.map(quote), "pg_temp"].join(", ");
  const settings = `language plpgsql security definer set search_path = ${path}`;
  return `
create or replace function ${quote(schema)}.${spec.prefix}_row() returns trigger ${settings} as $ladder$
begin
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and row(${list(names, "old.")}) is distinct from row(${list(names, "new.")})) then
    if not exists (select from ${from} s where ${same("s", "old")}) then
      delete from ${to} t where ${same("t", "old")};
      if not found and current_setting('transaction_isolation') <> 'read committed' then
        insert into ${to} (${list(written)}) overriding system value values (${list(written, "old.")}) on conflict (${arbiter}) do nothing;
        if found then
          delete from ${to} t where ${same("t", "old")};
        end if;
      end if;
    end if;
  end if;
  if tg_op <> 'DELETE' then
    insert into ${to} (${list(written)}) overriding system value
      select ${list(written, "s.")} from ${from} s where ${same("s", "new")}
      on conflict (${arbiter}) ${update};
  end if;
  return null;
end $ladder$;
create or replace function ${quote(schema)}.${spec.prefix}_truncate() returns trigger ${settings} as $ladder$
declare
  keys text;
begin
  truncate ${to};
  return null;
exception when object_in_use then
  -- The same TRUNCATE ... CASCADE has emptied both, or foreign keys of what this transaction has written are yet to be checked.
  if exists (select from ${to}) then
    select string_agg(format('%I.%I', n.nspname, c.conname), ', ') into keys from pg_constraint c join pg_namespace n on n.oid = c.connamespace
     where c.conrelid = ${literal(to)}::regclass and c.contype = 'f' and c.conparentid = 0;
    execute format('set constraints %s immediate', keys);
    truncate ${to};
    execute format('set constraints %s deferred', keys);
  end if;
  return null;
end $ladder$;
revoke execute on function ${quote(schema)}.${spec.prefix}_row(), ${quote(schema)}.${spec.prefix}_truncate() from public;`;
}

/** Triggers on `from` that call the functions; made disabled, or firing in every session, those that apply a subscription too. */
export function syncTriggers({ schema, prefix, from }: Pick<SyncSpec, "schema" | "prefix" | "from">, enabled: boolean): string {
  const state = enabled ? "enable always" : "disable";
  return `
create trigger ladder_sync after insert or update or delete on ${from} for each row execute function ${quote(schema)}.${prefix}_row();
create trigger ladder_sync_truncate after truncate on ${from} for each statement execute function ${quote(schema)}.${prefix}_truncate();
alter table ${from} ${state} trigger ladder_sync;
alter table ${from} ${state} trigger ladder_sync_truncate;`;
}
