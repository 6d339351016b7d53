/** Where a statement runs once rows are on shards: definitions on every server, rows where the application's writes go. Pure. */
import { createHash } from "node:crypto";
import type { AlterTableCmd, DefElem, Node, RangeVar } from "libpg-query";
import type { Script, Statement } from "./script.ts";

const ROW_WORK = [
  "InsertStmt",
  "UpdateStmt",
  "DeleteStmt",
  "MergeStmt",
  "CopyStmt",
  "TruncateStmt",
  "CallStmt",
  "ExecuteStmt",
  "ExplainStmt",
  "NotifyStmt",
  "RefreshMatViewStmt",
  "CreateSubscriptionStmt",
  "AlterSubscriptionStmt",
  "DropSubscriptionStmt",
] as const;

/** Options that would take a shard's sequence out of the range of ids that is its own. */
const RANGE_OPTIONS = new Set(["restart", "start", "minvalue", "maxvalue", "cycle"]);

const kindOf = (node: Node): string => Object.keys(node)[0] ?? "";

const optionsOf = (nodes: readonly Node[] | undefined): DefElem[] =>
  (nodes ?? []).flatMap((node) => ("DefElem" in node ? [node.DefElem] : []));

/** A SELECT that only changes settings, as dumps begin with. */
function onlySettings(node: Node): boolean {
  if (!("SelectStmt" in node) || node.SelectStmt.fromClause || node.SelectStmt.withClause) return false;
  const targets = node.SelectStmt.targetList ?? [];
  return (
    targets.length > 0 &&
    targets.every((target) => {
      const value = "ResTarget" in target ? target.ResTarget.val : undefined;
      const name = value && "FuncCall" in value ? value.FuncCall.funcname?.at(-1) : undefined;
      return name !== undefined && "String" in name && name.String.sval === "set_config";
    })
  );
}

/** True for what changes or only reads rows: it runs on the gateway alone. */
export function isRowWork(node: Node): boolean {
  if ("SelectStmt" in node) return node.SelectStmt.intoClause === undefined && !onlySettings(node);
  if ("AlterSeqStmt" in node) return optionsOf(node.AlterSeqStmt.options).some(({ defname }) => RANGE_OPTIONS.has(defname ?? ""));
  if ("CommentStmt" in node) return node.CommentStmt.objtype === "OBJECT_MATVIEW" && /^refresh:/.test(node.CommentStmt.comment ?? "");
  return (ROW_WORK as readonly string[]).includes(kindOf(node));
}

/** True where it cannot be seen from outside whether rows are looked at. */
export const isOpaque = (node: Node): boolean => "DoStmt" in node || "CreateTableAsStmt" in node || "VacuumStmt" in node;

/** At a statement's end; comments may follow. */
const WITH_DATA = /\swith\s+data(?=(\s|--[^\n]*(\n|$)|\/\*[\s\S]*?\*\/)*$)/i;

/** The statement as a shard runs it: tables and views are made without rows. undefined where nothing of it is a definition. */
function onShard(statement: Statement, outside: boolean): Statement | undefined {
  const { node, text } = statement;
  if (isRowWork(node) || (outside && "DoStmt" in node)) return undefined;
  if ("CreateTableAsStmt" in node && !node.CreateTableAsStmt.into?.skipData)
    return { ...statement, text: `${text.replace(WITH_DATA, "")}\nwith no data` };
  const into = "SelectStmt" in node ? node.SelectStmt.intoClause?.rel : undefined;
  return into ? { ...statement, text: `${text}\n;truncate ${nameOf(into)}` } : statement;
}

/**
 * A migration as shards run it: its definitions. Its file's hash is theirs, so that row statements that failed on the gateway may be mended
 * although the shards have the file already.
 */
export function definitionsOf(script: Script): Script {
  const statements = script.statements.flatMap((statement) => onShard(statement, script.outside !== undefined) ?? []);
  const sha256 = createHash("sha256")
    .update(statements.map(({ text }) => text.trim()).join(";\n"))
    .digest("hex");
  return { ...script, file: { ...script.file, sha256 }, statements };
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const nameOf = ({ schemaname, relname }: RangeVar): string =>
  [schemaname, relname].flatMap((part) => (part === undefined ? [] : [quoted(part)])).join(".");

/** Something that belongs to a table and is on the gateway only where the gateway's tree needs it. */
export interface Named {
  kind: "constraint" | "trigger" | "index" | "statistics";
  /** Quoted, with its schema where the statement gives one. */
  table: string | undefined;
  name: string;
}

/**
 * What the gateway does with a statement. `named`: it runs where these are
 * there, and is skipped where none is, unless it does more (`more`).
 */
export type Placement = "run" | "skip" | { named: Named[]; more?: true } | { message: string; want: string };

type Kind = NonNullable<AlterTableCmd["subtype"]>;

/** Changes of a table that its tree on the gateway goes along with. */
const STRUCTURE: ReadonlySet<Kind> = new Set<Kind>([
  "AT_AddColumn",
  "AT_DropColumn",
  "AT_AlterColumnType",
  "AT_ColumnDefault",
  "AT_SetNotNull",
  "AT_DropNotNull",
  "AT_SetExpression",
  "AT_DropExpression",
  "AT_EnableRowSecurity",
  "AT_DisableRowSecurity",
  "AT_ForceRowSecurity",
  "AT_NoForceRowSecurity",
]);
const BY_NAME: ReadonlySet<Kind> = new Set<Kind>(["AT_DropConstraint", "AT_ValidateConstraint", "AT_AlterConstraint"]);
const IN_TREES = new Set(["CONSTR_CHECK", "CONSTR_NOTNULL"]);
const SERIAL = /^(small|big)?serial[248]?$/;

const OWN_STATEMENT = "columns and checks in one statement, keys, triggers and storage in others";

function placeAlteration(commands: readonly AlterTableCmd[], table: string): Placement {
  const named: Named[] = [];
  const kinds = new Set<"tree" | "skip" | "named">();
  for (const { subtype, def, name } of commands) {
    if (subtype === undefined) continue;
    if (subtype === "AT_AddColumn" && def && "ColumnDef" in def) {
      const type = def.ColumnDef.typeName?.names?.at(-1);
      const inline = (def.ColumnDef.constraints ?? []).flatMap((c) => ("Constraint" in c ? [c.Constraint.contype ?? ""] : []));
      if (type && "String" in type && SERIAL.test(type.String.sval ?? ""))
        return {
          message: "a column that numbers its rows, on a table that is on shards: each shard would begin with 1",
          want: "create sequence, the column without default, then set default nextval(…)",
        };
      if (inline.includes("CONSTR_IDENTITY"))
        return {
          message: "an identity column on a table that is on shards: each shard would begin with 1",
          want: "create sequence, the column without default, then set default nextval(…)",
        };
      if (inline.some((kind) => ["CONSTR_PRIMARY", "CONSTR_UNIQUE", "CONSTR_FOREIGN"].includes(kind)))
        return {
          message: "a key in the definition of a new column of a table that is on shards",
          want: "the column, then the key in a statement of its own",
        };
    }
    const kind =
      subtype === "AT_AddConstraint" && def && "Constraint" in def
        ? IN_TREES.has(def.Constraint.contype ?? "")
          ? "tree"
          : "skip"
        : STRUCTURE.has(subtype)
          ? "tree"
          : BY_NAME.has(subtype)
            ? "named"
            : "skip";
    kinds.add(kind);
    const constraint =
      name ??
      (def && "ATAlterConstraint" in def ? def.ATAlterConstraint.conname : def && "Constraint" in def ? def.Constraint.conname : undefined);
    if (kind === "named" && constraint !== undefined) named.push({ kind: "constraint", table, name: constraint });
  }
  if (kinds.has("skip") && kinds.size > 1)
    return { message: "columns of a table that is on shards are changed together with what only shards have", want: OWN_STATEMENT };
  if (kinds.has("skip")) return "skip";
  if (named.length === 0) return "run";
  return kinds.has("tree") ? { named, more: true } : { named };
}

const parts = (node: Node | undefined): string[] => {
  const items = node && "List" in node ? (node.List.items ?? []) : node ? [node] : [];
  return items.flatMap((item) => ("String" in item ? [item.String.sval ?? ""] : []));
};

const OF_TABLES: Readonly<Record<string, Named["kind"]>> = {
  OBJECT_INDEX: "index",
  OBJECT_STATISTIC_EXT: "statistics",
  OBJECT_TRIGGER: "trigger",
  OBJECT_TABCONSTRAINT: "constraint",
};

/** What a name in DROP and COMMENT stands for: triggers and constraints have their table's before their own. */
function namedBy(objtype: string | undefined, object: Node | undefined): Named | undefined {
  const kind = OF_TABLES[objtype ?? ""];
  const names = parts(object);
  const last = names.pop();
  if (kind === undefined || last === undefined) return undefined;
  const before = names.length === 0 ? undefined : names.map(quoted).join(".");
  return kind === "index" || kind === "statistics"
    ? { kind, table: undefined, name: [...(before === undefined ? [] : [before]), quoted(last)].join(".") }
    : { kind, table: before, name: last };
}

/**
 * What a statement does on the gateway when the rows of `sharded` tables (schema.name) are on shards: columns and checks reach the gateway's
 * trees; indexes, keys, triggers, partitions and storage are the shards' own.
 */
export function onGateway(node: Node, sharded: ReadonlySet<string>): Placement {
  const isSharded = (relation: RangeVar | undefined): boolean =>
    relation?.relname !== undefined && sharded.has(`${relation.schemaname ?? "public"}.${relation.relname}`);
  if ("AlterTableStmt" in node) {
    const { relation, objtype, cmds } = node.AlterTableStmt;
    if (objtype === "OBJECT_INDEX" && relation) return ofIndex(relation);
    if (!relation || !isSharded(relation)) return "run";
    return placeAlteration(
      (cmds ?? []).flatMap((cmd) => ("AlterTableCmd" in cmd ? [cmd.AlterTableCmd] : [])),
      nameOf(relation),
    );
  }
  if ("RenameStmt" in node) {
    const { relation, renameType, subname } = node.RenameStmt;
    if (renameType === "OBJECT_INDEX" && relation) return ofIndex(relation);
    if (!relation || !isSharded(relation)) return "run";
    if (renameType === "OBJECT_TABLE") return moved("renamed");
    const kind = OF_TABLES[renameType ?? ""];
    return kind === undefined || subname === undefined ? "run" : { named: [{ kind, table: nameOf(relation), name: subname }] };
  }
  if ("AlterObjectSchemaStmt" in node)
    return node.AlterObjectSchemaStmt.objectType === "OBJECT_TABLE" && isSharded(node.AlterObjectSchemaStmt.relation)
      ? moved("moved to another schema")
      : "run";
  if ("IndexStmt" in node) return isSharded(node.IndexStmt.relation) ? "skip" : "run";
  if ("CreateTrigStmt" in node) return isSharded(node.CreateTrigStmt.relation) ? "skip" : "run";
  if ("ReindexStmt" in node)
    return isSharded(node.ReindexStmt.relation) ? "skip" : reindexed(node.ReindexStmt.kind, node.ReindexStmt.relation);
  if ("ClusterStmt" in node) return isSharded(node.ClusterStmt.relation) ? "skip" : "run";
  if ("VacuumStmt" in node) {
    const relations = (node.VacuumStmt.rels ?? []).flatMap((rel) => ("VacuumRelation" in rel ? [rel.VacuumRelation.relation] : []));
    return relations.length > 0 && relations.every(isSharded) ? "skip" : "run";
  }
  if ("CreateStatsStmt" in node)
    return (node.CreateStatsStmt.relations ?? []).some((rel) => "RangeVar" in rel && isSharded(rel.RangeVar)) ? "skip" : "run";
  if ("CreateStmt" in node) {
    const parent = node.CreateStmt.inhRelations?.[0];
    return node.CreateStmt.partbound && parent && "RangeVar" in parent && isSharded(parent.RangeVar) ? "skip" : "run";
  }
  if ("DropStmt" in node) {
    const named = (node.DropStmt.objects ?? []).flatMap((object) => namedBy(node.DropStmt.removeType, object) ?? []);
    return named.length === 0 ? "run" : { named };
  }
  if ("CommentStmt" in node) {
    const named = namedBy(node.CommentStmt.objtype, node.CommentStmt.object);
    return named ? { named: [named] } : "run";
  }
  return "run";
}

const ofIndex = (relation: RangeVar): Placement => ({ named: [{ kind: "index", table: undefined, name: nameOf(relation) }] });

const reindexed = (kind: string | undefined, relation: RangeVar | undefined): Placement =>
  kind === "REINDEX_OBJECT_INDEX" && relation ? ofIndex(relation) : "run";

const moved = (how: string): Placement => ({
  message: `a table that is on shards is ${how}`,
  want: "its name as it is, and a view with the other name",
});
