/** What a statement asks of sharded tables, by PostgreSQL's own parser. Pure, once the parser is loaded. */
import { hasSqlDetails, type InsertStmt, type Node, parseSync, type RangeVar, type SelectStmt, type SubLink } from "libpg-query";
import { aliasOf, Block, type Bound, type KnownTable, type Source, stringsOf } from "./scope.ts";

/** What the gateway does not do, or does otherwise. */
export const TROUBLES = [
  "conflict target",
  "merge",
  "key update",
  "system column",
  "sample",
  "two-phase",
  "row lock",
  "several rows",
  "join off the key",
  "lock table",
] as const;
export type Trouble = (typeof TROUBLES)[number];

export interface Asked {
  /** Sharded tables, quoted, with their schemas. */
  tables: readonly string[];
  writes: boolean;
  /** How closely it names the shard key, of the table where it does so least. */
  bound: Bound;
  troubles: readonly Trouble[];
}

const SYSTEM = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

class Reader {
  readonly tables = new Set<string>();
  readonly troubles = new Set<Trouble>();
  writes = false;
  readonly #bounds: Bound[] = [];
  readonly #known: readonly KnownTable[];

  constructor(known: readonly KnownTable[]) {
    this.#known = known;
  }

  get bound(): Bound {
    return this.#bounds.includes("none") ? "none" : this.#bounds.includes("some") ? "some" : "one";
  }

  statement(node: Node, with_: ReadonlySet<string> = new Set(), outer?: Block): void {
    if ("SelectStmt" in node) this.#select(node.SelectStmt, with_, outer);
    else if ("InsertStmt" in node) this.#insert(node.InsertStmt, with_);
    else if ("UpdateStmt" in node) {
      const { relation, fromClause, whereClause, targetList, withClause, returningClause } = node.UpdateStmt;
      const names = this.#ctes(withClause?.ctes, with_);
      const target = this.#change(relation, fromClause, whereClause, names, [...(targetList ?? []), ...(returningClause?.exprs ?? [])]);
      if (target?.table?.key && (targetList ?? []).some((each) => "ResTarget" in each && each.ResTarget.name === target.table!.key))
        this.troubles.add("key update");
      this.#returning(target, returningClause?.exprs);
    } else if ("DeleteStmt" in node) {
      const { relation, usingClause, whereClause, withClause, returningClause } = node.DeleteStmt;
      const names = this.#ctes(withClause?.ctes, with_);
      const target = this.#change(relation, usingClause, whereClause, names, returningClause?.exprs ?? []);
      this.#returning(target, returningClause?.exprs);
    } else if ("MergeStmt" in node) {
      if (this.#named(node.MergeStmt.relation, with_)?.table?.key) this.#touch(node.MergeStmt.relation!, "merge", true);
    } else if ("LockStmt" in node) {
      for (const each of node.LockStmt.relations ?? [])
        if ("RangeVar" in each && this.#named(each.RangeVar, with_)?.table?.key) this.#touch(each.RangeVar, "lock table", false);
    } else if ("TransactionStmt" in node) {
      if (node.TransactionStmt.kind === "TRANS_STMT_PREPARE") this.troubles.add("two-phase");
    } else if ("ExplainStmt" in node) {
      if (node.ExplainStmt.query) this.statement(node.ExplainStmt.query, with_);
    } else if ("DeclareCursorStmt" in node) {
      if (node.DeclareCursorStmt.query) this.statement(node.DeclareCursorStmt.query, with_);
    } else if ("PrepareStmt" in node && node.PrepareStmt.query) this.statement(node.PrepareStmt.query, with_);
  }

  #touch(relation: RangeVar, trouble: Trouble, writes: boolean): void {
    this.tables.add(this.#lookUp(relation)!.name);
    this.troubles.add(trouble);
    this.writes ||= writes;
    this.#bounds.push("none");
  }

  #lookUp({ schemaname, relname }: RangeVar): KnownTable | undefined {
    const named = this.#known.filter(({ table }) => table === relname);
    const home = named.find(({ schema }) => schema === (schemaname ?? "public"));
    // The search_path is not known: without a schema, the only table of that name is meant.
    return home ?? (schemaname === undefined && named.length === 1 ? named[0] : undefined);
  }

  #named(relation: RangeVar | undefined, with_: ReadonlySet<string>): Source | undefined {
    if (!relation) return undefined;
    const isCte = relation.schemaname === undefined && with_.has(relation.relname ?? "");
    return { alias: aliasOf(relation), table: isCte ? undefined : this.#lookUp(relation) };
  }

  /** Reads the queries of a WITH clause; returns the names that hide tables from then on. */
  #ctes(ctes: readonly Node[] | undefined, with_: ReadonlySet<string>): ReadonlySet<string> {
    const names = new Set(with_);
    for (const node of ctes ?? []) {
      if (!("CommonTableExpr" in node)) continue;
      const { ctename, ctequery } = node.CommonTableExpr;
      names.add(ctename ?? "");
      if (ctequery) this.statement(ctequery, names);
    }
    return names;
  }

  #select(select: SelectStmt, with_: ReadonlySet<string>, outer: Block | undefined): void {
    const names = this.#ctes(select.withClause?.ctes, with_);
    if (select.larg && select.rarg) {
      this.#select(select.larg, names, outer);
      this.#select(select.rarg, names, outer);
      return;
    }
    const block = new Block(outer);
    for (const item of select.fromClause ?? []) this.#from(item, block, names);
    block.where(select.whereClause);
    this.#close(block);
    if ((select.lockingClause ?? []).length > 0 && block.sources.some(({ table }) => table?.key)) this.troubles.add("row lock");
    this.#below([...(select.targetList ?? []), select.whereClause, select.havingClause, ...(select.valuesLists ?? [])], names, block);
  }

  #from(node: Node, block: Block, with_: ReadonlySet<string>): void {
    if ("RangeVar" in node) block.sources.push(this.#named(node.RangeVar, with_)!);
    else if ("RangeTableSample" in node && node.RangeTableSample.relation) {
      this.#from(node.RangeTableSample.relation, block, with_);
      if (block.sources.at(-1)?.table?.key) this.troubles.add("sample");
    } else if ("JoinExpr" in node) {
      const { larg, rarg, quals, usingClause, isNatural } = node.JoinExpr;
      const before = block.sources.length;
      if (larg) this.#from(larg, block, with_);
      const middle = block.sources.length;
      if (rarg) this.#from(rarg, block, with_);
      block.where(quals);
      this.#below([quals], with_, block);
      const right = block.sources.slice(middle).flatMap(({ table }) => table?.columns ?? []);
      const shared = isNatural
        ? block.sources
            .slice(before, middle)
            .flatMap(({ table }) => table?.columns ?? [])
            .filter((name) => right.includes(name))
        : stringsOf(usingClause);
      block.using(shared, block.sources.slice(before));
    } else if ("RangeSubselect" in node && node.RangeSubselect.subquery) {
      block.sources.push({ alias: node.RangeSubselect.alias?.aliasname ?? "", table: undefined });
      this.statement(node.RangeSubselect.subquery, with_, node.RangeSubselect.lateral ? block : block.outer);
    }
  }

  #insert({ relation, selectStmt, onConflictClause, returningClause, withClause }: InsertStmt, with_: ReadonlySet<string>): void {
    const names = this.#ctes(withClause?.ctes, with_);
    const target = this.#named(relation, new Set());
    if (selectStmt) this.statement(selectStmt, names);
    if (!target?.table?.key) return;
    this.tables.add(target.table.name);
    this.writes = true;
    // A key that is not written comes from the column's default: still one row, one shard.
    const rows = selectStmt && "SelectStmt" in selectStmt ? (selectStmt.SelectStmt.valuesLists?.length ?? 0) : 1;
    const several = rows !== 1;
    if (several) this.troubles.add("several rows");
    this.#bounds.push(several ? "some" : "one");
    if (onConflictClause?.infer) this.troubles.add("conflict target");
    const { key } = target.table;
    if ((onConflictClause?.targetList ?? []).some((each) => "ResTarget" in each && each.ResTarget.name === key))
      this.troubles.add("key update");
    this.#returning(target, returningClause?.exprs);
  }

  #change(
    relation: RangeVar | undefined,
    from: readonly Node[] | undefined,
    where: Node | undefined,
    with_: ReadonlySet<string>,
    targets: readonly Node[],
  ): Source | undefined {
    const block = new Block();
    const target = this.#named(relation, new Set());
    if (target) block.sources.push(target);
    for (const item of from ?? []) this.#from(item, block, with_);
    block.where(where);
    this.#close(block);
    if (target?.table?.key) {
      this.writes = true;
      if (block.boundOf(target, target.table.key) !== "one") this.troubles.add("several rows");
    }
    this.#below([where, ...targets], with_, block);
    return target;
  }

  /** Counts the sharded tables of a block, and looks at how they are joined. */
  #close(block: Block): void {
    const sharded = block.sources.filter(({ table }) => table?.key);
    for (const source of sharded) {
      this.tables.add(source.table!.name);
      this.#bounds.push(block.boundOf(source, source.table!.key!));
    }
    const at = (source: Source) => ({ source, column: source.table!.key! });
    const [first, ...rest] = sharded;
    if (!first) return;
    const together = rest.every((other) => block.joined(at(first), at(other)));
    const eachNamed = sharded.every((source) => block.boundOf(source, source.table!.key!) === "one");
    if (!together && !eachNamed) this.troubles.add("join off the key");
  }

  #returning(target: Source | undefined, list: readonly Node[] | undefined): void {
    if (!target?.table?.key) return;
    const names = (list ?? []).flatMap((each) =>
      "ResTarget" in each && each.ResTarget.val && "ColumnRef" in each.ResTarget.val
        ? stringsOf(each.ResTarget.val.ColumnRef.fields).slice(-1)
        : [],
    );
    if (names.some((name) => SYSTEM.includes(name))) this.troubles.add("system column");
  }

  /** Subqueries in expressions, however deep. */
  #below(part: unknown, with_: ReadonlySet<string>, block: Block): void {
    if (part === null || typeof part !== "object") return;
    const subquery = "SubLink" in part ? (part as { SubLink: SubLink }).SubLink.subselect : undefined;
    if (subquery) this.statement(subquery, with_, block);
    const rest = "SubLink" in part ? (part as { SubLink: SubLink }).SubLink.testexpr : part;
    if (rest) for (const value of Object.values(rest)) this.#below(value, with_, block);
  }
}

/**
 * What a statement asks of the sharded tables among `known`; undefined where it touches none of them and has no trouble; null where
 * it cannot be read (pg_stat_statements puts $1 where the grammar has none). The parser is loaded before (`loadModule`).
 */
export function readStatement(text: string, known: readonly KnownTable[]): Asked | undefined | null {
  const reader = new Reader(known);
  try {
    for (const { stmt } of parseSync(text).stmts ?? []) if (stmt) reader.statement(stmt);
  } catch (error) {
    if (!hasSqlDetails(error)) throw error;
    if (!/^\s*prepare\s+transaction\b/i.test(text)) return null;
    reader.troubles.add("two-phase");
  }
  if (reader.tables.size === 0 && reader.troubles.size === 0) return undefined;
  return {
    tables: [...reader.tables].sort(),
    writes: reader.writes,
    bound: reader.bound,
    troubles: TROUBLES.filter((each) => reader.troubles.has(each)),
  };
}
