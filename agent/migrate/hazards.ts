/** Statements that hold a lock for as long as a table is large and that the linter does not name. Pure. */
import type { AlterTableCmd, Node } from "libpg-query";

/** A finding about one statement. */
export interface Hazard {
  rule: string;
  /** What it does to the table. */
  why: string;
  /** What to do instead. */
  instead: string;
}

const FULL_REWRITE = "copies the whole table under a lock that blocks reads and writes";

const ALTERATIONS: Partial<Record<NonNullable<AlterTableCmd["subtype"]>, Hazard>> = {
  AT_SetLogged: { rule: "set-logged", why: FULL_REWRITE, instead: "fill a new logged table in batches and swap the names" },
  AT_SetUnLogged: { rule: "set-logged", why: FULL_REWRITE, instead: "leave the table logged" },
  AT_SetTableSpace: { rule: "set-tablespace", why: FULL_REWRITE, instead: "pg_repack --tablespace" },
  AT_SetAccessMethod: { rule: "set-access-method", why: FULL_REWRITE, instead: "fill a new table in batches and swap the names" },
  AT_AddIdentity: {
    rule: "add-identity",
    why: "blocks reads and writes, and an identity restarts from 1 in later moves",
    instead: "create sequence, then set default nextval(…)",
  },
};

const SERIAL = new Set(["smallserial", "serial", "bigserial", "serial2", "serial4", "serial8"]);

function addsSerial({ def }: AlterTableCmd): boolean {
  if (!def || !("ColumnDef" in def)) return false;
  const type = def.ColumnDef.typeName?.names?.at(-1);
  const identity = (def.ColumnDef.constraints ?? []).some((c) => "Constraint" in c && c.Constraint.contype === "CONSTR_IDENTITY");
  return identity || (type !== undefined && "String" in type && SERIAL.has(type.String.sval ?? ""));
}

const commandsOf = (node: Node): AlterTableCmd[] =>
  "AlterTableStmt" in node ? (node.AlterTableStmt.cmds ?? []).flatMap((cmd) => ("AlterTableCmd" in cmd ? [cmd.AlterTableCmd] : [])) : [];

/** True for an ALTER TABLE that keeps a strong lock on its table until the transaction ends. */
export function locksTable(node: Node): boolean {
  return commandsOf(node).some(({ subtype }) => subtype !== "AT_ValidateConstraint" && subtype !== "AT_SetStatistics");
}

/**
 * What is dangerous about a statement on a filled table; undefined when nothing is.
 * `lockedBefore`: an earlier statement of the same transaction has locked one of its tables.
 */
export function hazardOf(node: Node, lockedBefore: boolean): Hazard | undefined {
  if ("VacuumStmt" in node && (node.VacuumStmt.options ?? []).some((o) => "DefElem" in o && o.DefElem.defname === "full"))
    return { rule: "vacuum-full", why: FULL_REWRITE, instead: "pg_repack, or plain VACUUM" };
  if ("ClusterStmt" in node) return { rule: "cluster", why: FULL_REWRITE, instead: "pg_repack --order-by" };
  if ("RefreshMatViewStmt" in node && !node.RefreshMatViewStmt.concurrent)
    return { rule: "refresh", why: "blocks readers of the view until it is filled", instead: "refresh materialized view concurrently" };
  if (("UpdateStmt" in node && !node.UpdateStmt.whereClause) || ("DeleteStmt" in node && !node.DeleteStmt.whereClause))
    return { rule: "all-rows", why: "locks every row until the end of the run", instead: "batches by key, outside the migration" };
  for (const command of commandsOf(node)) {
    const found = command.subtype === undefined ? undefined : ALTERATIONS[command.subtype];
    if (found) return found;
    if (command.subtype === "AT_AddColumn" && addsSerial(command))
      return { rule: "add-serial", why: FULL_REWRITE, instead: "add the column without default, set the default, then fill in batches" };
    if (command.subtype === "AT_ValidateConstraint" && lockedBefore)
      return {
        rule: "validate-in-transaction",
        why: "reads the whole table while an earlier statement of the run still locks it",
        instead: "-- ladder: no transaction in the first line of the file that validates",
      };
  }
  return undefined;
}
