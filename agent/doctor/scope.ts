/** Which columns of a query block must be equal, and to what: PostgreSQL's own syntax tree, without its planner. Pure. */
import type { ColumnRef, Node, RangeVar } from "libpg-query";

/** Columns of a table that statements may name, and its shard key where it has one. */
export interface KnownTable {
  schema: string;
  table: string;
  /** Quoted, with its schema. */
  name: string;
  columns: readonly string[];
  key: string | null;
}

/** A table in a FROM clause, under the name by which the statement calls it. */
export interface Source {
  alias: string;
  table: KnownTable | undefined;
}

/** How closely the conditions name a column: one value, a few, or not at all. */
export type Bound = "one" | "some" | "none";

export const stringsOf = (nodes: readonly Node[] | undefined): string[] =>
  (nodes ?? []).flatMap((node) => ("String" in node ? [node.String.sval ?? ""] : []));

/** One query block: its tables, and the equalities that all of its rows satisfy. */
export class Block {
  readonly sources: Source[] = [];
  readonly outer: Block | undefined;
  readonly #parent = new Map<string, string>();
  readonly #bound = new Map<string, Bound>();

  constructor(outer?: Block) {
    this.outer = outer;
  }

  /** Takes the conditions that are joined by AND. */
  where(node: Node | undefined): void {
    if (!node) return;
    if ("BoolExpr" in node) {
      if (node.BoolExpr.boolop === "AND_EXPR") for (const part of node.BoolExpr.args ?? []) this.where(part);
      return;
    }
    if (!("A_Expr" in node)) return;
    const { kind, name, lexpr, rexpr } = node.A_Expr;
    if (stringsOf(name).at(-1) !== "=" || !lexpr || !rexpr) return;
    if (kind === "AEXPR_OP") this.#equal(lexpr, rexpr);
    else if (kind === "AEXPR_IN") this.#among(lexpr, "List" in rexpr && rexpr.List.items?.length === 1 ? "one" : "some");
    else if (kind === "AEXPR_OP_ANY") this.#among(lexpr, "some");
  }

  /** How closely the block names a column of one of its tables. */
  boundOf({ alias }: Source, column: string): Bound {
    return this.#bound.get(this.#root(`${alias}.${column}`)) ?? "none";
  }

  /** Whether two columns are the same in each row. */
  joined(a: { source: Source; column: string }, b: { source: Source; column: string }): boolean {
    return this.#root(`${a.source.alias}.${a.column}`) === this.#root(`${b.source.alias}.${b.column}`);
  }

  /** Makes the columns of USING (…) equal, whichever tables of the two sides have them. */
  using(columns: readonly string[], sources: readonly Source[]): void {
    for (const column of columns) {
      const [first, ...rest] = sources.filter(({ table }) => table?.columns.includes(column));
      for (const other of rest) this.#join(`${first!.alias}.${column}`, `${other.alias}.${column}`);
    }
  }

  #equal(left: Node, right: Node): void {
    const [a, b] = [this.#column(left), this.#column(right)];
    if (a !== undefined && b !== undefined) this.#join(a, b);
    else if (a !== undefined && this.#isValue(right)) this.#bind(a, "one");
    else if (b !== undefined && this.#isValue(left)) this.#bind(b, "one");
    else if ("RowExpr" in left && "RowExpr" in right)
      (left.RowExpr.args ?? []).forEach((part, i) => {
        const other = right.RowExpr.args?.[i];
        if (other) this.#equal(part, other);
      });
  }

  #among(left: Node, bound: Bound): void {
    const column = this.#column(left);
    if (column !== undefined) this.#bind(column, bound);
  }

  #root(name: string): string {
    const parent = this.#parent.get(name);
    return parent === undefined ? name : this.#root(parent);
  }

  #join(a: string, b: string): void {
    const [one, other] = [this.#root(a), this.#root(b)];
    if (one === other) return;
    this.#parent.set(one, other);
    this.#bind(other, this.#bound.get(one) ?? "none");
  }

  #bind(name: string, bound: Bound): void {
    const root = this.#root(name);
    const present = this.#bound.get(root) ?? "none";
    if (present === "none" || bound === "one") this.#bound.set(root, bound);
  }

  /** The column that a node names, as alias.column, a cast around it or not; undefined where it is none of this block. */
  #column(node: Node): string | undefined {
    if ("TypeCast" in node && node.TypeCast.arg) return this.#column(node.TypeCast.arg);
    if (!("ColumnRef" in node)) return undefined;
    const parts = namesOf(node.ColumnRef);
    const column = parts.at(-1);
    if (column === undefined) return undefined;
    const alias = parts.at(-2);
    const source =
      alias === undefined
        ? (this.sources.find(({ table }) => table?.columns.includes(column)) ?? (this.outer ? undefined : this.sources[0]))
        : this.sources.find((each) => each.alias === alias);
    return source && `${source.alias}.${column}`;
  }

  /** A value that is the same for all rows of this block: a constant, a parameter, or what an outer block gives. */
  #isValue(node: Node): boolean {
    if ("TypeCast" in node) return node.TypeCast.arg !== undefined && this.#isValue(node.TypeCast.arg);
    if ("ColumnRef" in node) return this.#column(node) === undefined && this.outer !== undefined;
    if ("A_Expr" in node) return [node.A_Expr.lexpr, node.A_Expr.rexpr].every((part) => part === undefined || this.#isValue(part));
    if ("FuncCall" in node) return (node.FuncCall.args ?? []).every((part) => this.#isValue(part));
    return (
      "A_Const" in node ||
      "ParamRef" in node ||
      "SQLValueFunction" in node ||
      ("SubLink" in node && node.SubLink.subLinkType === "EXPR_SUBLINK")
    );
  }
}

const namesOf = ({ fields }: ColumnRef): string[] => stringsOf(fields);

export const aliasOf = ({ alias, relname }: RangeVar): string => alias?.aliasname ?? relname ?? "";
