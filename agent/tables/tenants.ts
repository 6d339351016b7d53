/**
 * Keeps the rows of declared tables apart by tenant: `tables.<name>.tenant`. The rules themselves are SQL (sql/platform/0070 to 0073);
 * this says which tables they hold for. docs/guide/tenants.md is the user's page.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { TableConfig } from "../../plan/config/tables.ts";
import type { Desired } from "../../plan/desired.ts";
import { InputError, type Problem } from "../../plan/types.ts";

interface Declared {
  path: string;
  name: string;
  schema: string;
  table: string;
  column: string;
}

/** The tables that are declared with a tenant column; a name without a schema is one in public. */
export function declaredTenants(tables: Readonly<Record<string, TableConfig>>): Declared[] {
  return Object.entries(tables).flatMap(([name, { tenant }]) => {
    if (tenant === null) return [];
    const [table, schema = "public"] = name.split(".").reverse() as [string, string?];
    return [{ path: `tables.${name}.tenant`, name, schema, table, column: tenant }];
  });
}

interface Found {
  relation: string | null;
  kind: string | null;
  type: string | null;
  fits: boolean;
  nullable: boolean;
  waits: boolean;
  copies: string[];
}

/** One row for each declared table, in their order. Materialized views count where their owner would be bound by the policies. */
const FIND = `
  select c.oid::regclass::text as relation, c.relkind::text as kind, format_type(a.atttypid, a.atttypmod) as type,
    ladder.tenant_condition(c.oid, d.item ->> 'column') is not null as fits, coalesce(not a.attnotnull, false) as nullable,
    coalesce(ladder.tenant_waits(c.oid), false) as waits,
    array(select distinct v.oid::regclass::text from pg_depend p join pg_rewrite r on r.oid = p.objid join pg_class v on v.oid = r.ev_class
          where p.classid = 'pg_rewrite'::regclass and p.refobjid = c.oid and v.relkind = 'm'
            and pg_has_role(v.relowner, 'ladder_pooled', 'usage') and not (select rolsuper from pg_roles where oid = v.relowner)
          order by 1) as copies
  from json_array_elements($1::json) with ordinality as d (item, place)
  left join pg_class c on c.oid = to_regclass(format('%I.%I', d.item ->> 'schema', d.item ->> 'table'))
  left join pg_attribute a on a.attrelid = c.oid and a.attname = d.item ->> 'column' and a.attnum > 0 and not a.attisdropped
  order by d.place`;

function problemsOf({ path, name, column }: Declared, { relation, kind, type, fits, waits, copies }: Found): Problem[] {
  const problem = (got: string, want: string): Problem[] => [{ path, got, want }];
  if (relation === null) return problem(`no table ${name}`, "a table that the migrations make");
  if (kind !== "r" && kind !== "p") return problem(`${name}, which is no table`, "a table");
  if (type === null) return problem(column, `a column of ${name}`);
  if (!fits)
    return problem(
      `${column}, of type ${type}`,
      "a column of type smallint, integer, bigint, uuid, text or varchar, with a deterministic collation",
    );
  if (waits)
    return problem(
      `${name}, whose conversion is kept: the old table would no longer get every write`,
      `first: select ladder.finish_conversion(${pg.escapeLiteral(relation)})`,
    );
  return copies.flatMap((view) =>
    problem(
      `materialized view ${view}, which reads ${name}`,
      "none, or one owned by a role outside of ladder_pooled: policies do not hold for its rows, and app would refresh it to an empty one",
    ),
  );
}

/** On a shard the gateway keeps its way in: row security is decided where the application's session is. */
const DECLARE = `
  with table_of as (select format('%I.%I', $1::text, $2::text)::regclass as relation),
  declared as materialized (select relation, ladder.declare_tenant_table(relation, $3) as changes from table_of)
  select changes, case when has_table_privilege('ladder_gateway', relation, 'select') then ladder.open_to_gateway(array[relation]) end from declared`;

const LOCK_NOT_AVAILABLE = "55P03";
const TRIES = 5;

/** Runs one statement that needs a table's strongest lock for a moment, without holding up others for more than 2 s at a time. */
async function withLock(client: pg.Client, sql: string, values: readonly string[]): Promise<pg.QueryResult<{ changes?: number }>> {
  for (let tries = 1; ; tries++) {
    await client.query("begin; set local lock_timeout = '2s'");
    try {
      const result = await client.query(sql, [...values]);
      await client.query("commit");
      return result;
    } catch (error) {
      await client.query("rollback");
      if (!(error instanceof pg.DatabaseError) || error.code !== LOCK_NOT_AVAILABLE || tries >= TRIES) throw error;
      await sleep(500 * tries);
    }
  }
}

/**
 * Makes row security what the tables' declarations say; a table that is no longer declared gets back what it had before.
 * @throws InputError naming every declaration that cannot be kept, before anything is changed.
 */
export async function settleTenants(client: pg.Client, desired: Desired, log: (line: string) => void): Promise<void> {
  const declared = declaredTenants(desired.tables);
  const { rows: found } = await client.query<Found>(FIND, [JSON.stringify(declared)]);
  const problems = declared.flatMap((table, i) => problemsOf(table, found[i]!));
  if (problems.length > 0) throw new InputError("tenants", problems);
  for (const [i, { path, schema, table, name, column }] of declared.entries()) {
    const { rows } = await withLock(client, DECLARE, [schema, table, column]);
    if ((rows[0]?.changes ?? 0) > 0) log(`${name}: rows are kept apart by ${column}`);
    if (found[i]!.nullable) log(`${path}: ${column} may be null; nobody sees such rows, make it not null`);
  }
  const { rows: kept } = await client.query<{ schema: string; name: string }>("select schema, name from ladder.tenant_table order by 1, 2");
  for (const { schema, name } of kept) {
    if (declared.some((table) => table.schema === schema && table.table === name)) continue;
    await withLock(client, "select ladder.release_tenant_table($1, $2)", [schema, name]);
    log(`${schema === "public" ? name : `${schema}.${name}`}: rows are no longer kept apart`);
  }
}
