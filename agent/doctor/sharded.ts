/** What a table with `shardBy` has that stands in the way of its shards. Pure. */
import pg from "pg";
import { KEY_TYPES, type KeyType } from "../../client/shards/bucket.ts";
import type { TableConfig } from "../../plan/config/tables.ts";
import { ID_RANGE } from "../../plan/shards.ts";
import type { Column, Relation, Sequence } from "./catalog.ts";
import { block, cost, type Finding, fine } from "./finding.ts";

const quote = pg.escapeIdentifier;
const list = (columns: readonly string[]): string => columns.map(quote).join(", ");

/** The type by which a column's values are hashed; undefined where none of the shard keys' types fits. */
export function keyTypeOf({ type, loose }: Column): KeyType | undefined {
  const base = type === "character varying" ? "text" : type;
  return loose ? undefined : KEY_TYPES.find((known) => known === base);
}

/** Everything about one table that needs no other table. */
export function shardedFindings(relation: Relation, { shardBy }: TableConfig): Finding[] {
  const { name } = relation;
  if (relation.kind === "v" || relation.kind === "m") return [block(name, "it is a view", "declare the tables that it reads")];
  if (relation.remote) return [fine(name, "its rows are on other servers already")];
  if (relation.isPartition) return [block(name, `it is a partition of ${relation.parents.join(", ")}`, "declare the parent")];
  const key = relation.columns.find((column) => column.name === shardBy);
  if (!key)
    return [
      block(`${name}.${quote(shardBy!)}`, "there is no such column", `shardBy: one of ${relation.columns.map((c) => c.name).join(", ")}`),
    ];
  return [
    ...keyFindings(relation, key),
    ...uniqueFindings(relation, key),
    ...identityFindings(relation, key),
    ...relation.columns.flatMap((column) => idFindings(relation, column, key)),
    ...kindFindings(relation),
    ...codeFindings(relation),
  ];
}

function keyFindings({ name }: Relation, key: Column): Finding[] {
  const object = `${name}.${quote(key.name)}`;
  const found: Finding[] = [];
  if (key.loose)
    found.push(
      block(
        object,
        "its collation is not deterministic: equal texts would lie on different shards",
        `alter table ${name} alter ${quote(key.name)} type text collate "default"`,
      ),
    );
  else if (keyTypeOf(key) === undefined)
    found.push(
      block(
        object,
        `the shard key's type is ${key.type}`,
        key.type === "smallint"
          ? `alter table ${name} alter ${quote(key.name)} type integer`
          : `shardBy: a column of type ${KEY_TYPES.join(", ")} or varchar`,
      ),
    );
  if (key.generated) found.push(block(object, "the shard key is a generated column", "a column that is stored as it is written"));
  if (!key.notNull)
    found.push(
      block(
        object,
        "the shard key accepts NULL, and no row without a key has a shard",
        `alter table ${name} add constraint ladder_not_null check (${quote(key.name)} is not null) not valid; ` +
          `alter table ${name} validate constraint ladder_not_null; alter table ${name} alter ${quote(key.name)} set not null; ` +
          `alter table ${name} drop constraint ladder_not_null`,
      ),
    );
  return found;
}

function uniqueFindings({ name, schema, table, kind, unique, columns }: Relation, key: Column): Finding[] {
  const found: Finding[] = [];
  const primary = unique.find(({ constraint }) => constraint === "p");
  if (!primary) {
    const sequence = `${quote(schema)}.${quote(`${table.slice(0, 50)}_row`)}`;
    const column = columns.some((each) => each.name === "id") ? "row_id" : "id";
    found.push(
      block(
        name,
        "it has no primary key: a move could neither bring over its changes nor prove that nothing is missing",
        `create sequence ${sequence}; alter table ${name} add column ${quote(column)} bigint not null default nextval('${sequence}'), ` +
          `add primary key (${list([key.name, column])}) -- writes the table anew under a lock; or a key of columns that it has`,
      ),
    );
  }
  for (const index of unique) {
    const object = `${name}, ${index.name}`;
    const drop = index.constraint
      ? `alter table ${name} drop constraint ${quote(index.name)}`
      : `drop index ${quote(schema)}.${quote(index.name)}`;
    if (index.constraint === "x") found.push(block(object, "an exclusion constraint holds on one shard only", drop));
    else if (index.columns.includes(key.name)) continue;
    else if (index.constraint === "p") {
      const longer = list([key.name, ...index.columns]);
      const ready = quote(`${table.slice(0, 50)}_shard_key`);
      found.push(
        block(
          object,
          `the primary key has no ${quote(key.name)} in it: it cannot hold over all shards, nor can updates be replicated`,
          kind === "p"
            ? `${drop}, add primary key (${longer})`
            : `create unique index concurrently ${ready} on ${name} (${longer}); ${drop}, add constraint ${quote(index.name)} primary key using index ${ready}`,
        ),
      );
    } else
      found.push(
        block(
          object,
          `unique without ${quote(key.name)} in it: each shard would see its own rows only`,
          `${drop}; what has to be unique over all shards gets a table of its own without shardBy`,
        ),
      );
  }
  const computed = columns.filter((column) => column.generated && primary?.columns.includes(column.name) && column !== key);
  for (const column of computed)
    found.push(
      block(`${name}.${quote(column.name)}`, "a generated column in the primary key is not replicated", "a key of stored columns"),
    );
  return found;
}

/** Updates and deletes are replicated by the replica identity, and a row filter asks for the key in it: else the application's writes fail. */
function identityFindings({ identities, unique }: Relation, key: Column): Finding[] {
  const primary = unique.find(({ constraint }) => constraint === "p");
  return identities.flatMap(({ name, kind, columns }) =>
    kind === "i" && columns.includes(key.name)
      ? []
      : [
          block(
            name,
            kind === "n" ? "its replica identity is nothing" : `its replica identity is an index without ${quote(key.name)}`,
            primary ? `alter table ${name} replica identity default` : `alter table ${name} replica identity full`,
          ),
        ],
  );
}

/** Shard i draws its ids from i × 2^43 on, so that none is given twice. */
function idFindings({ name, schema, table, owner }: Relation, column: Column, key: Column): Finding[] {
  const object = `${name}.${quote(column.name)}`;
  const { sequence } = column;
  const found: Finding[] = [];
  if (column.generated && column !== key) found.push(fine(object, "a generated column: computed again on the shard"));
  if (column.identity !== "") {
    const next = `${quote(schema)}.${quote(`${table.slice(0, 30)}_${column.name.slice(0, 24)}_ids`)}`;
    found.push(
      block(
        object,
        "an identity starts again from 1 when its table is made anew, and ids would be given twice",
        `begin; lock table ${name} in access exclusive mode; create sequence ${next}; alter sequence ${next} owner to ${quoteRole(owner)}; ` +
          `select setval('${next}', last_value, is_called) from ${sequence?.name}; alter table ${name} alter ${quote(column.name)} drop identity; ` +
          `alter table ${name} alter ${quote(column.name)} set default nextval('${next}'); alter sequence ${next} owned by ${object}; commit`,
      ),
    );
  }
  if (!sequence) return found;
  if (column.type === "integer" || column.type === "smallint")
    found.push(
      block(
        object,
        `ids of type ${column.type}: the shards draw theirs from ranges of 2^43`,
        `alter table ${name} alter ${quote(column.name)} type bigint -- writes the table anew under a lock; without one: a new column, ladder.backfill, another name`,
      ),
    );
  return [...found, ...sequenceFindings(sequence, column.identity !== "")];
}

const quoteRole = (role: string): string => (role.startsWith('"') ? role : quote(role));

function sequenceFindings({ name, type, last, most, step, cycles }: Sequence, leaves: boolean): Finding[] {
  if (leaves) return [];
  const found: Finding[] = [];
  if (type !== "bigint" || most < ID_RANGE - 1)
    found.push(block(name, `the sequence ends at ${most}, before the shards' ranges`, `alter sequence ${name} as bigint no maxvalue`));
  if (step < 0 || cycles)
    found.push(block(name, "the sequence counts downwards or begins again", `alter sequence ${name} increment 1 no cycle`));
  if (last >= ID_RANGE)
    found.push(
      block(
        name,
        `the sequence has reached ${last}: the gateway's ids end at 2^43 = ${ID_RANGE}, where the shards' begin`,
        "give the rows smaller ids, then setval; ids of another kind (time-based ones) must not come from a sequence: uuid",
      ),
    );
  return found;
}

function kindFindings({ name, persistence, parents, children, columns }: Relation): Finding[] {
  const found: Finding[] = [];
  if (persistence !== "p") found.push(block(name, "it is unlogged: its changes are not replicated", `alter table ${name} set logged`));
  for (const parent of parents) found.push(block(name, `it inherits from ${parent}`, `alter table ${name} no inherit ${parent}`));
  for (const child of children) found.push(block(name, `${child} inherits from it`, `alter table ${child} no inherit ${name}`));
  for (const column of columns)
    if (/^(oid|lo)$|\.lo$/.test(column.type))
      found.push(
        block(
          `${name}.${quote(column.name)}`,
          `its type is ${column.type}: a large object stays behind on the gateway`,
          `keep the contents in a bytea column, or outside of the database; a number: alter table ${name} alter ${quote(column.name)} type bigint`,
        ),
      );
  return found;
}

function codeFindings({ name, triggers, rules, strays, policies, publications, schema }: Relation): Finding[] {
  const found: Finding[] = [];
  for (const trigger of triggers) {
    const object = `${name}, ${trigger.name}`;
    if (trigger.enabled === "A" || trigger.enabled === "R")
      found.push(
        block(
          object,
          "the trigger fires for replicated rows as well: once here, once more on the shard",
          `alter table ${name} enable trigger ${quote(trigger.name)}`,
        ),
      );
    else if (trigger.enabled === "O")
      found.push(
        cost(
          object,
          "the trigger runs on the shard and sees that shard's rows only; none runs on the gateway",
          "it may read its own row, its shard key's rows and global tables",
        ),
      );
  }
  for (const rule of rules) found.push(block(`${name}, ${rule}`, "a rule", `drop rule ${quote(rule)} on ${name}`));
  if (strays !== null)
    found.push(
      cost(strays, "rows in the default partition: no partition of the shards is made for them", "make the partition that they belong to"),
    );
  for (const policy of policies)
    found.push(
      cost(
        `${name}, ${policy}`,
        "the policy holds on the gateway, and on each shard for what comes straight to it; it sees that shard's rows only",
        "it may read its own row and global tables",
      ),
    );
  const fix = (publication: string) => ({
    table: `alter publication ${quote(publication)} drop table ${name}`,
    schema: `alter publication ${quote(publication)} drop tables in schema ${quote(schema)}`,
    all: `drop publication ${quote(publication)}`,
  });
  for (const publication of publications)
    found.push(
      block(
        `${name}, publication ${publication.name}`,
        "it would publish nothing more: the rows change on the shards",
        fix(publication.name)[publication.scope],
      ),
    );
  return found;
}
