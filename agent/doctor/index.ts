/** What stands in the way of sharding, years ahead: `ladder doctor`, and the first step of a climb to stage 4. */
import { loadModule } from "libpg-query";
import type pg from "pg";
import type { TableConfig } from "../../plan/config/tables.ts";
import { findRelation, type Relation, readDependents, readRelations, splitName } from "./catalog.ts";
import { block, count, type Finding, fine, size, tableLine } from "./finding.ts";
import { dependentFindings, foreignKeyFindings, globalFindings, type Schema, undeclaredFindings } from "./links.ts";
import { gatewayFinding, hotRowsFinding, type Load, loadOf, readWrites } from "./load.ts";
import { type Loopback, measure } from "./measure.ts";
import type { KnownTable } from "./scope.ts";
import { type Surroundings, serverFindings } from "./servers.ts";
import { keyTypeOf, shardedFindings } from "./sharded.ts";
import { doingFindings, partitionFindings } from "./state.ts";
import { type Counted, callsSoFar, readStatements, type Statement, statementFindings } from "./statements.ts";

export type { Finding, Level } from "./finding.ts";
export type { Load } from "./load.ts";
export type { Loopback, Measured } from "./measure.ts";
export type { Statement } from "./statements.ts";

type Tables = Readonly<Record<string, TableConfig>>;

interface Declared {
  relation: Relation;
  config: TableConfig;
}

interface Looked {
  schema: Schema;
  sharded: Declared[];
  global: Declared[];
  findings: Finding[];
  /** Nothing else could be looked at. */
  locked: boolean;
}

const sum = (tables: readonly Declared[]) => tables.reduce((all, { relation }) => all + relation.bytes, 0);

function tableFindings({ relation, config }: Declared): Finding[] {
  const found = shardedFindings(relation, config);
  const stands = relation.remote || found.some(({ level }) => level === "blocks");
  return stands
    ? found
    : [...found, fine(relation.name, `can be sharded by ${config.shardBy}: ${count(relation.rows)} rows, ${size(relation.bytes)}`)];
}

/** Longest wait for a table that somebody has locked: sizes and partitions ask for it. */
const PATIENCE = "2s";

/** Everything that the catalogs say; where a table is locked only that, because the rest would wait for it. */
async function look(client: pg.Client, tables: Tables, partitions: boolean): Promise<Looked> {
  const doing = await doingFindings(client, Object.keys(tables).map(splitName));
  const locked = { schema: { relations: [], declared: new Map() }, sharded: [], global: [], locked: true };
  if (doing.some(({ why }) => why.includes("AccessExclusiveLock"))) return { ...locked, findings: doing };
  const { rows } = await client.query<{ before: string }>("select current_setting('lock_timeout') as before");
  await client.query(`set lock_timeout = '${PATIENCE}'`);
  try {
    const looked = await lookFreely(client, tables, partitions);
    looked.findings.push(...doing);
    return looked;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "55P03")) throw error;
    return {
      ...locked,
      findings: [...doing, block("tables", "a table is locked by somebody, and could not be looked at", "again later: bin/ladder locks")],
    };
  } finally {
    await client.query("select set_config('lock_timeout', $1, false)", [rows[0]!.before]).catch(() => undefined);
  }
}

async function lookFreely(client: pg.Client, tables: Tables, partitions: boolean): Promise<Looked> {
  const relations = await readRelations(client);
  const wanted = Object.entries(tables).filter(([, { shardBy, global }]) => shardBy !== null || global);
  const findings: Finding[] = [];
  const declared: Declared[] = [];
  for (const [name, config] of wanted) {
    const relation = findRelation(relations, name);
    if (relation) declared.push({ relation, config });
    else
      findings.push(block(name, "it is declared, and there is no such table", "make it by a migration, or take it out of pgladder:tables"));
  }
  const schema: Schema = { relations, declared: new Map(declared.map(({ relation, config }) => [relation.oid, config])) };
  const sharded = declared.filter(({ config }) => config.shardBy !== null);
  const global = declared.filter(({ config }) => config.global);
  const here = sharded.filter(({ relation }) => !relation.remote);
  const doubled = sharded.filter(({ relation }, i) => sharded.findIndex((other) => other.relation.table === relation.table) !== i);
  const writes = await readWrites(
    client,
    declared.map(({ relation }) => relation.oid),
  );
  const writesOf = ({ oid }: Relation) => writes.find((each) => each.oid === oid)!;
  findings.push(
    ...sharded.flatMap(tableFindings),
    ...doubled.map(({ relation }) =>
      block(relation.name, "another sharded table of this name is in another schema", `alter table ${relation.name} rename to …`),
    ),
    ...foreignKeyFindings(schema),
    ...dependentFindings(
      schema,
      await readDependents(
        client,
        here.map(({ relation }) => relation.oid),
      ),
    ),
    ...global.flatMap(({ relation }) => globalFindings(relation, writesOf(relation).writes / writesOf(relation).seconds)),
    ...(await partitionFindings(
      client,
      declared.filter(({ relation }) => !relation.remote),
      partitions,
    )),
    ...here.flatMap(({ relation }) => hotRowsFinding(relation.name, writesOf(relation))),
  );
  return { schema, sharded, global, findings, locked: false };
}

/**
 * What the first step of a climb to stage 4 refuses: from the catalogs, in well under a second. Nothing is changed.
 *
 * @param client the administrator, on the primary, in the application's database
 */
export async function blockers(client: pg.Client, tables: Tables): Promise<Finding[]> {
  return (await look(client, tables, true)).findings.filter(({ level }) => level === "blocks");
}

export interface ExamineOptions extends Surroundings {
  tables: Tables;
  /** The stage that the stack has partitions declared tables: from 3 on. */
  partitions: boolean;
  /** Seconds between two looks at the statements' counters. @default 5; 0: only averages */
  seconds?: number;
  /** Share of the calls on sharded tables that come through the client router or the shards' URLs: the operator's word. @default 0 */
  routed?: number;
  /** Roles whose statements all come that way. */
  routedRoles?: readonly string[];
  /** Measures what the gateway carries: about two seconds of four sessions. Not measured where it is left out. */
  measure?: { connect: () => Promise<pg.Client>; loopback: Loopback } | undefined;
}

/** What the doctor found: `ladder doctor --json`. */
export interface Report {
  blocks: number;
  costs: number;
  fine: number;
  findings: Finding[];
  /** null without pg_stat_statements. */
  load: Load | null;
  /** Statements on sharded tables, the most expensive first. */
  statements: Statement[];
  /** What could not be looked at. */
  notes: string[];
}

/**
 * Everything: tables, servers, statements, and what the gateway carries. Changes nothing; a measurement makes a schema and drops it.
 *
 * @param client the administrator, on the primary, in the application's database
 */
export async function examine(client: pg.Client, options: ExamineOptions): Promise<Report> {
  const { tables, partitions, shards, seconds = 5, routed = 0, routedRoles = [] } = options;
  const { schema, sharded, global, findings, locked } = await look(client, tables, partitions);
  const notes: string[] = [];
  if (locked) notes.push("Tables and statements were not looked at: a table is locked.");
  else if (sharded.length === 0) findings.push(block("tables", "no table has shardBy: there is nothing to spread", suggestion(schema)));
  findings.push(...undeclaredFindings(schema));
  const textKeys = sharded.some(({ relation, config }) =>
    relation.columns.some((column) => column.name === config.shardBy && keyTypeOf(column) === "text"),
  );
  findings.push(...(await serverFindings(client, options, { sharded: sum(sharded), global: sum(global), textKeys })));
  const counted = await statementsOf(client, schema, { seconds, routed, routedRoles });
  const measured =
    options.measure && sharded.length > 0
      ? await measure(options.measure.connect, options.measure.loopback, () => callsSoFar(client)).catch((error: Error) => error)
      : null;
  if (measured instanceof Error) notes.push(`The gateway was not measured: ${measured.message}.`);
  let load: Load | null = null;
  if (counted) {
    load = loadOf(counted, shards, routed, measured instanceof Error ? null : measured);
    findings.push(...statementFindings(counted), ...(sharded.length > 0 ? [gatewayFinding(load, counted, shards)] : []));
  } else notes.push("Statements were not looked at: there is no pg_stat_statements.");
  notes.push(
    "Which statements share a transaction cannot be seen: one that writes rows of several shard keys is not atomic through the gateway, and refused by the router.",
    "Reads on replicas are not counted, nor what views and functions read inside.",
  );
  const ordered = (["blocks", "costs", "fine"] as const).flatMap((level) => findings.filter((finding) => finding.level === level));
  const of = (level: Finding["level"]) => ordered.filter((finding) => finding.level === level).length;
  return {
    blocks: of("blocks"),
    costs: of("costs"),
    fine: of("fine"),
    findings: ordered,
    load,
    statements: counted?.statements ?? [],
    notes,
  };
}

async function statementsOf(
  client: pg.Client,
  schema: Schema,
  options: Parameters<typeof readStatements>[2],
): Promise<Counted | undefined> {
  await loadModule();
  const known = schema.relations.map(
    ({ oid, schema: home, table, name, columns }): KnownTable => ({
      schema: home,
      table,
      name,
      columns: columns.map((column) => column.name),
      key: schema.declared.get(oid)?.shardBy ?? null,
    }),
  );
  return readStatements(client, known, options);
}

/** The largest table that somebody may want to shard. */
function suggestion({ relations }: Schema): string {
  const [largest] = relations
    .filter(({ kind, isPartition }) => (kind === "r" || kind === "p") && !isPartition)
    .sort((a, b) => b.bytes - a.bytes);
  return tableLine(largest?.table ?? "…", "{ shardBy: … }");
}
