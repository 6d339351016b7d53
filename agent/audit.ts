/**
 * What goes into the audit log beyond the server's own setting (`pgaudit.log`: changes of schema and roles, by anyone): writes of those who
 * may do much or are people. The application's own roles are not in it: that would double the log. docs/guide/security.md is the user's page.
 */
import type pg from "pg";
import type { Desired } from "../plan/desired.ts";

/** Superusers, roles that make roles or pass row security, members of ladder_audited. */
const WRITES = "ddl,role,write,misc_set";
/** Members of ladder_all_tenants: whoever may cross tenants shows what was read, too. */
const CROSSING = "ddl,role,read,write,misc_set";

/** For the agent's own sessions, whose work is in its log; only a superuser may say so. */
export const UNAUDITED = "-c pgaudit.log=ddl,role";

interface RoleAudit {
  role: string;
  has: string | null;
  wants: string | null;
}

/** ladder_apply repeats what the log of another server has already. */
const ROLES = `
  select r.rolname as role, substr(c.setting, length('pgaudit.log=') + 1) as has,
    case
      when not r.rolsuper and pg_has_role(r.oid, 'ladder_all_tenants', 'member') then '${CROSSING}'
      when r.rolsuper or r.rolcreaterole or r.rolbypassrls or pg_has_role(r.oid, 'ladder_audited', 'member') then '${WRITES}'
    end as wants
  from pg_roles r
  left join lateral unnest(r.rolconfig) c (setting) on starts_with(c.setting, 'pgaudit.log=')
  where r.rolcanlogin and r.rolname !~ '^(pg|rds)_|^rdsadmin$' and r.rolname <> 'ladder_apply'
  order by 1`;

/** Gives each login role its part of the audit log. What an operator has set on a role is left alone, unless it is one of ours. */
export async function settleAudit(client: pg.Client, _desired: Desired, log: (line: string) => void): Promise<void> {
  const { rows } = await client.query<RoleAudit>(ROLES);
  for (const { role, has, wants } of rows) {
    if (has === wants || (has !== null && ![WRITES, CROSSING].includes(has))) continue;
    const change = wants === null ? 'reset "pgaudit.log"' : `set "pgaudit.log" = ${client.escapeLiteral(wants)}`;
    await client.query(`alter role ${client.escapeIdentifier(role)} ${change}`);
    log(`role ${role}: ${wants === null ? "writes are no longer audited" : `audited: ${wants}`}`);
  }
}
