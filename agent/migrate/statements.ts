/** What the migrator has to know about a statement: whether it runs in a transaction, what it touches, whether it is refused. Pure. */
import type { Node } from "libpg-query";

/** The options of a statement as a map from name to value, for example of VACUUM and REINDEX. */
function optionNames(options: readonly Node[] | undefined): Set<string> {
  return new Set((options ?? []).flatMap((node) => ("DefElem" in node ? [node.DefElem.defname ?? ""] : [])));
}

const WHOLE_DATABASE = new Set(["REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE"]);

/** Why PostgreSQL refuses the statement inside a transaction block; undefined when it does not. */
export function whyOutside(node: Node): string | undefined {
  if ("IndexStmt" in node) return node.IndexStmt.concurrent ? "CREATE INDEX CONCURRENTLY" : undefined;
  if ("DropStmt" in node) return node.DropStmt.concurrent ? "DROP INDEX CONCURRENTLY" : undefined;
  if ("ReindexStmt" in node) {
    if (optionNames(node.ReindexStmt.params).has("concurrently")) return "REINDEX CONCURRENTLY";
    return WHOLE_DATABASE.has(node.ReindexStmt.kind ?? "") ? "REINDEX of more than one table" : undefined;
  }
  if ("VacuumStmt" in node) return node.VacuumStmt.is_vacuumcmd ? "VACUUM" : undefined;
  if ("ClusterStmt" in node) return node.ClusterStmt.relation ? undefined : "CLUSTER of all tables";
  if ("AlterTableStmt" in node)
    return (node.AlterTableStmt.cmds ?? []).some(detachesConcurrently) ? "DETACH PARTITION CONCURRENTLY" : undefined;
  if ("AlterSystemStmt" in node) return "ALTER SYSTEM";
  if ("CreateSubscriptionStmt" in node) return "CREATE SUBSCRIPTION";
  if ("AlterSubscriptionStmt" in node) return "ALTER SUBSCRIPTION";
  if ("DropSubscriptionStmt" in node) return "DROP SUBSCRIPTION";
  if ("CreatedbStmt" in node) return "CREATE DATABASE";
  if ("DropdbStmt" in node) return "DROP DATABASE";
  if ("CreateTableSpaceStmt" in node) return "CREATE TABLESPACE";
  if ("DropTableSpaceStmt" in node) return "DROP TABLESPACE";
  return undefined;
}

function detachesConcurrently(node: Node): boolean {
  if (!("AlterTableCmd" in node)) return false;
  const { def } = node.AlterTableCmd;
  return def !== undefined && "PartitionCmd" in def && def.PartitionCmd.concurrent === true;
}

const lastPart = (parts: readonly Node[] | undefined): string | undefined => {
  const part = parts?.at(-1);
  return part && "String" in part ? part.String.sval : undefined;
};

/** The enum type that a statement creates, without its schema. */
export function enumCreated(node: Node): string | undefined {
  return "CreateEnumStmt" in node ? lastPart(node.CreateEnumStmt.typeName) : undefined;
}

/** The enum type that a statement adds a value to (`ALTER TYPE … ADD VALUE`), without its schema. */
export function enumExtended(node: Node): string | undefined {
  return "AlterEnumStmt" in node && node.AlterEnumStmt.oldVal === undefined ? lastPart(node.AlterEnumStmt.typeName) : undefined;
}

/** Statements that would break the run's guarantees, with what to write in their place. */
export function refusal(node: Node): { message: string; want: string } | undefined {
  if ("CopyStmt" in node && !node.CopyStmt.filename && !node.CopyStmt.is_program)
    return {
      message: node.CopyStmt.is_from ? "COPY … FROM stdin, which only psql reads from a file" : "COPY … TO stdout has no reader here",
      want: "INSERT statements (pg_dump --rows-per-insert=1000), or load the rows after the migration",
    };
  if ("TransactionStmt" in node) {
    const { kind } = node.TransactionStmt;
    if (kind === "TRANS_STMT_ROLLBACK") return { message: "ROLLBACK in a migration", want: "a file that is applied whole" };
    if (kind === "TRANS_STMT_PREPARE" || kind === "TRANS_STMT_COMMIT_PREPARED" || kind === "TRANS_STMT_ROLLBACK_PREPARED")
      return { message: "two-phase commit in a migration", want: "plain BEGIN and COMMIT, or neither" };
  }
  if ("DiscardStmt" in node && node.DiscardStmt.target === "DISCARD_ALL")
    return {
      message: "DISCARD ALL would release the migrator's lock",
      want: "nothing in its place: every file starts with fresh settings",
    };
  if ("VariableSetStmt" in node && (node.VariableSetStmt.name === "role" || node.VariableSetStmt.name === "session_authorization"))
    return {
      message: "a change of the role: migrations run as the owner of the application's schema",
      want: "no SET ROLE or SET SESSION AUTHORIZATION (pg_dump --no-owner)",
    };
  return undefined;
}

/** What a dump says about owners, which a migration that runs as one role has no use for; undefined for all other statements. */
export function ownership(node: Node): "owner" | "extension comment" | undefined {
  if ("AlterOwnerStmt" in node) return "owner";
  if ("CommentStmt" in node && node.CommentStmt.objtype === "OBJECT_EXTENSION") return "extension comment";
  const cmds = "AlterTableStmt" in node ? (node.AlterTableStmt.cmds ?? []) : [];
  return cmds.length > 0 && cmds.every((cmd) => "AlterTableCmd" in cmd && cmd.AlterTableCmd.subtype === "AT_ChangeOwner")
    ? "owner"
    : undefined;
}

/** Every relation that a statement names, as `schema.name` parts; the schema is undefined where the statement gives none. */
export function relationsOf(node: Node): { schema: string | undefined; name: string }[] {
  const found = new Map<string, { schema: string | undefined; name: string }>();
  const add = (schema: string | undefined, name: string) => found.set(`${schema ?? ""}.${name}`, { schema, name });
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) walk(item);
    else if (typeof value === "object" && value !== null) {
      const { relname, relpersistence, schemaname } = value as { relname?: unknown; relpersistence?: unknown; schemaname?: unknown };
      if (typeof relname === "string" && relpersistence !== undefined)
        add(typeof schemaname === "string" ? schemaname : undefined, relname);
      for (const inner of Object.values(value)) walk(inner);
    }
  };
  walk(node);
  if ("DropStmt" in node && DROPPED_RELATIONS.has(node.DropStmt.removeType ?? ""))
    for (const object of node.DropStmt.objects ?? [])
      if ("List" in object) {
        const parts = (object.List.items ?? []).flatMap((item) => ("String" in item ? [item.String.sval ?? ""] : []));
        const name = parts.pop();
        if (name !== undefined) add(parts.pop(), name);
      }
  return [...found.values()];
}

const DROPPED_RELATIONS = new Set(["OBJECT_TABLE", "OBJECT_INDEX", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_SEQUENCE"]);
