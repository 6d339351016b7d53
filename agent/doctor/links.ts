/** What tables have to do with each other once some of them are on shards: foreign keys, views, and tables that nobody declared. Pure. */
import pg from "pg";
import type { TableConfig } from "../../plan/config/tables.ts";
import { type Dependent, declaredName, type ForeignKey, type Relation } from "./catalog.ts";
import { block, cost, count, type Finding, fine, size, tableLine } from "./finding.ts";

const quote = pg.escapeIdentifier;

/** Where a table's rows are at stage 4. */
export type Place = "sharded" | "global" | "gateway";

/** The application's tables, and what is declared about them. */
export interface Schema {
  relations: readonly Relation[];
  /** Of declared tables, by oid. */
  declared: ReadonlyMap<number, TableConfig>;
}

export const placeOf = ({ declared }: Schema, oid: number): Place => {
  const config = declared.get(oid);
  return config?.shardBy ? "sharded" : config?.global ? "global" : "gateway";
};

const isTable = ({ kind, isPartition }: Relation): boolean => (kind === "r" || kind === "p") && !isPartition;

/** Foreign keys between places. Those of partitions are their parent's. */
export function foreignKeyFindings(schema: Schema): Finding[] {
  return schema.relations.filter(isTable).flatMap((from) =>
    from.foreignKeys.flatMap((key) => {
      const to = schema.relations.find(({ oid }) => oid === key.to);
      return to ? foreignKeyFinding(schema, from, key, to) : [];
    }),
  );
}

function foreignKeyFinding(schema: Schema, from: Relation, key: ForeignKey, to: Relation): Finding[] {
  const object = `${from.name}, ${key.name}`;
  const drop = `alter table ${from.name} drop constraint ${quote(key.name)}`;
  const [here, there] = [placeOf(schema, from.oid), placeOf(schema, to.oid)];
  if (there === "sharded") {
    if (here !== "sharded") {
      const column = key.columns[key.toColumns.indexOf(schema.declared.get(to.oid)!.shardBy!)];
      const beside = column !== undefined && here === "gateway" ? `${tableLine(declaredName(from), `{ shardBy: ${column} }`)}; or ` : "";
      const where = here === "global" ? "on every server" : "on the gateway";
      return [
        block(object, `a foreign key to ${to.name}, whose rows are on the shards, from a table that is ${where}`, `${beside}${drop}`),
      ];
    }
    const at = key.columns.indexOf(schema.declared.get(from.oid)!.shardBy!);
    if (at >= 0 && key.toColumns[at] === schema.declared.get(to.oid)!.shardBy)
      return [cost(object, "both rows are on the same shard, which checks the foreign key; the gateway does not know of it", "")];
    return [
      block(
        object,
        `a foreign key to ${to.name} without the shard key of both in it: the other row may be on another shard`,
        `${drop}; or the shard key in both tables, and in the foreign key`,
      ),
    ];
  }
  if (here === "gateway") return [];
  if (there === "gateway")
    return [
      block(
        object,
        `a foreign key to ${to.name}, which is on the gateway only`,
        `${tableLine(declaredName(to), "{ global: true }")}; or ${drop}`,
      ),
    ];
  if (here === "global") return [];
  if (key.acts)
    return [
      block(
        object,
        `it acts on rows when ${to.name} changes (ON DELETE, ON UPDATE), and a replicated change of a global table does not set that off`,
        `${drop}; make it again without the action, and let the application delete its rows first`,
      ),
    ];
  return [fine(object, `the shards check it against their copy of ${to.name}; a delete there no longer looks for rows that point at it`)];
}

/** Views are made again in the flip. What else is bound to a table's identity would stay with the old one. */
export function dependentFindings(schema: Schema, dependents: readonly Dependent[]): Finding[] {
  return dependents.map((dependent) => dependentFinding(dependent, schema.relations.find(({ oid }) => oid === dependent.oid)!.name));
}

function dependentFinding({ what, kind, name }: Dependent, table: string): Finding {
  switch (kind) {
    case "view":
      return cost(
        what,
        `it reads ${table}: it is made again in the flip, and asks the shards from then on`,
        "its owner, grants and options stay",
      );
    case "grouped view":
      return block(
        what,
        `its GROUP BY relies on the primary key of ${table}, which the gateway's table does not have`,
        "name all columns in GROUP BY",
      );
    case "materialized view":
      return block(
        what,
        `it reads ${table} by its identity, and would go on reading the old table`,
        `drop materialized view ${name}; make it again on a function in a string that reads ${table}: it looks the name up at each refresh`,
      );
    case "other":
      return block(
        what,
        `it is bound to the identity of ${table}, and would stay with the old table`,
        "drop it, and make it again; a function with its body in a string and columns in place of the row type",
      );
  }
}

/** Global tables are small, seldom written, and have a key. */
const LARGE = 2 ** 30;
const OFTEN = 10;

/** @param writes rows written a second, by oid */
export function globalFindings(relation: Relation, writes: number): Finding[] {
  const { name, table, unique, triggers, identities, persistence, bytes } = relation;
  if (relation.kind === "v" || relation.kind === "m") return [block(name, "it is a view", "declare the tables that it reads")];
  const found: Finding[] = [];
  if (!unique.some(({ constraint }) => constraint === "p"))
    found.push(
      block(name, "a global table without a primary key: its updates cannot be replicated", `alter table ${name} add primary key (…)`),
    );
  for (const { name: part, kind } of identities)
    if (kind === "n") found.push(block(part, "its replica identity is nothing", `alter table ${part} replica identity default`));
  if (persistence !== "p") found.push(block(name, "it is unlogged: its changes are not replicated", `alter table ${name} set logged`));
  for (const trigger of triggers)
    if (trigger.enabled === "A" || trigger.enabled === "R")
      found.push(
        block(
          `${name}, ${trigger.name}`,
          "the trigger fires on every shard as well",
          `alter table ${name} enable trigger ${quote(trigger.name)}`,
        ),
      );
  if (bytes > LARGE) found.push(cost(name, `a global table of ${size(bytes)}, on every server`, tableLine(table, "{ shardBy: … }")));
  if (writes > OFTEN)
    found.push(
      cost(
        name,
        `a global table with ${count(writes)} rows written a second: every shard repeats each`,
        tableLine(table, "{ shardBy: … }"),
      ),
    );
  return found.length > 0 ? found : [fine(name, `global: ${size(bytes)} on every server`)];
}

/** Smaller ones are named together. */
const SMALL = 2 ** 20;

/** Tables that nobody declared stay on the gateway, whole. */
export function undeclaredFindings(schema: Schema): Finding[] {
  const tables = schema.relations
    .filter((relation) => isTable(relation) && placeOf(schema, relation.oid) === "gateway")
    .sort((a, b) => b.bytes - a.bytes || a.name.localeCompare(b.name));
  const small = tables.filter(({ bytes }) => bytes < SMALL);
  const either = "{ shardBy: … }, or { global: true }";
  return [
    ...tables
      .filter(({ bytes }) => bytes >= SMALL)
      .map((relation) =>
        cost(
          relation.name,
          `stays on the gateway: ${count(relation.rows)} rows, ${size(relation.bytes)}; joins with sharded tables are made there`,
          tableLine(declaredName(relation), either),
        ),
      ),
    ...(small.length > 0
      ? [
          cost(
            small.map(({ name }) => name).join(", "),
            `stay${small.length === 1 ? "s" : ""} on the gateway: less than ${size(SMALL)} each; joins with sharded tables are made there`,
            tableLine(small.length === 1 ? declaredName(small[0]!) : "<table>", either),
          ),
        ]
      : []),
  ];
}
