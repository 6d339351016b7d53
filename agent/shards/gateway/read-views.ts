/** Views over the trees of the replicas: app_ro's copies of the views that read sharded tables. */
import { createHash } from "node:crypto";
import type pg from "pg";
import { escapeLiteral as literal } from "pg";
import type { Fleet } from "../types.ts";
import { named, READ } from "./names.ts";

/** Views of schema public over tables that have a tree over the replicas, those over such views too, the lowest first. */
const VIEWS = `
with recursive above (oid, depth) as (
  select t.oid, 0 from pg_class t join pg_class r on r.relname = t.relname and r.relkind = 'p' and r.relnamespace = $1::regnamespace
   where t.relnamespace = 'public'::regnamespace
  union select v.oid, above.depth + 1 from above join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = above.oid
    join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid join pg_class v on v.oid = r.ev_class
   where v.relkind = 'v' and v.relnamespace = 'public'::regnamespace and v.oid <> above.oid)
select v.relname as name, v.relowner::regrole::text as owner, v.reloptions as options, pg_get_viewdef(v.oid) as text,
    coalesce((select array_agg(distinct case g.grantee when 0 then 'public' else g.grantee::regrole::text end) from aclexplode(v.relacl) g where g.privilege_type = 'SELECT'), '{}') as readers
  from (select oid, max(depth) as depth from above where depth > 0 group by oid) a join pg_class v using (oid) order by depth, v.oid`;

interface View {
  name: string;
  owner: string;
  options: string[] | null;
  text: string;
  readers: string[];
}

function statementsOf({ name, owner, options, text, readers }: View): string[] {
  const view = named(READ, name);
  return [
    `set local search_path = ${READ}, public`,
    `create view ${view}${options === null ? "" : ` with (${options.join(", ")})`} as ${text.replace(/;\s*$/, "")}`,
    `grant create on schema ${READ} to ${owner}`,
    `alter view ${view} owner to ${owner}`,
    `revoke create on schema ${READ} from ${owner}`,
    ...(readers.length === 0 ? [] : [`grant select on ${view} to ${readers.join(", ")}`]),
  ];
}

/**
 * Makes views of the same names over the replicas, again where a text or a tree has changed. One that cannot be made is said and left out: app_ro
 * then reads it as everybody does. Repeatable; not in an open transaction.
 */
export async function buildReadViews(gateway: pg.Client, { log }: Fleet): Promise<void> {
  await gateway.query("begin; set local search_path = public");
  const { rows: views } = await gateway.query<View>(VIEWS, [READ]);
  const { rows: left } = await gateway.query<{ name: string }>(
    "select format('%I.%I', $1::text, relname) as name from pg_class where relnamespace = $1::regnamespace and relkind = 'v' and relname <> all ($2)",
    [READ, views.map(({ name }) => name)],
  );
  for (const { name } of left) await gateway.query(`drop view if exists ${name} cascade`);
  await gateway.query("commit");
  for (const view of views) {
    const statements = statementsOf(view);
    const hash = createHash("sha256").update(statements.join("\n")).digest("hex");
    const name = named(READ, view.name);
    const { rows } = await gateway.query<{ hash: string | null }>("select obj_description(to_regclass($1), 'pg_class') as hash", [name]);
    if (rows[0]!.hash === hash) continue;
    try {
      await gateway.query(
        [`drop view if exists ${name} cascade`, ...statements, `comment on view ${name} is ${literal(hash)}`].join(";\n"),
      );
    } catch (error) {
      log(`view ${view.name}: reads go to the shards' primaries: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
