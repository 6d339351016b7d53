/** What each state of a conversion does: a bounded piece of work that ends in a transaction, so that it can be broken off anywhere. */
import type pg from "pg";
import { copyName, foreignKeyStatements, newSchema, partitionStatements, readerGrants, tableStatements } from "./build.ts";
import { describeTable, keyOf, operatorSchemas, primaryKey, type Table } from "./catalog.ts";
import { checkTable, describeFinding } from "./check.ts";
import { countPeriods, fixedPartitions, MOST_PARTITIONS, type NewPartition, rangePartitions } from "./partitions.ts";
import { nameOf, nextBatch } from "./progress.ts";
import { codeOf, holder, inTransaction, isBusy } from "./session.ts";
import { type Conversion, remember } from "./store.ts";
import { functionOwner, type SyncSpec, syncFunctions, syncTriggers } from "./sync.ts";
import { compareStretch, copyStretch, describeStretch, measureStretch, nextStretch } from "./walk.ts";

/** One piece of work on one conversion. */
export interface Work {
  client: pg.Client;
  run: Conversion;
  table: Table;
  log: (line: string) => void;
  /** For what an operator wants to see in the status afterwards. */
  done: (what: string) => void;
}

/** "again": the next piece may follow at once. A text: what is waited for. "rest": nothing more to do now. */
export type Outcome = "again" | "rest" | { waits: string };

export const STEPS: Partial<Record<Conversion["state"], (work: Work) => Promise<Outcome>>> = {
  checking,
  measuring,
  building,
  syncing,
  copying,
  verifying,
  swapping,
};

const MEASURED_AT_A_TIME = 50_000;
const COMPARED_AT_A_TIME = 10_000;
const CHANGED = "LD001";

async function checking({ client, run, table, log }: Work): Promise<Outcome> {
  const problems = await checkTable(client, table, run.direction, run.declaration);
  const blocks = problems.filter(({ level }) => level === "blocks");
  const known = new Set(run.problems.map(describeFinding));
  for (const problem of problems)
    if (!known.has(describeFinding(problem)))
      log(`${nameOf(run)}: ${problem.level === "blocks" ? "not converted" : "to know"}: ${describeFinding(problem)}`);
  if (blocks.length > 0) {
    await remember(client, run, { state: "blocked", problems });
    return "rest";
  }
  for (const sql of readerGrants(table)) await client.query(sql);
  const columns = primaryKey(table)!.columns;
  const by = run.declaration?.by;
  const extended = by === undefined || columns.includes(by) ? columns : [...columns, by];
  await remember(client, run, {
    ...{ state: "measuring", problems, cursor: null, rowsDone: 0 },
    detail: {
      ...{ sourceKey: keyOf(table, columns), targetKey: keyOf(table, extended), operators: await operatorSchemas(client, table) },
      ...{ least: null, greatest: null, runner: table.runner },
    },
  });
  return "again";
}

async function measuring({ client, run, table }: Work): Promise<Outcome> {
  const { stretch, rows, least, greatest } = await asRunner(client, run, async () => {
    const next = await nextStretch(client, table.name, run.detail.sourceKey!, run.cursor, MEASURED_AT_A_TIME);
    return { stretch: next, ...(await measureStretch(client, run, table, next)) };
  });
  const { detail } = run;
  const extremes = {
    least: smaller(detail.least ?? null, least),
    greatest: larger(detail.greatest ?? null, greatest),
  };
  const total = run.rowsDone + rows;
  if (stretch.to) {
    await remember(client, run, { cursor: stretch.to, rowsDone: total, detail: extremes });
    return "again";
  }
  if (run.declaration?.kind === "range") {
    const { every, ahead, by } = run.declaration;
    const periods = await countPeriods(client, every, ahead, extremes.least, extremes.greatest);
    if (periods > MOST_PARTITIONS) {
      const why = `got rows from ${extremes.least} to ${extremes.greatest} in ${by}, want at most ${MOST_PARTITIONS} partitions by ${every}: a longer period, or other dates in rows that are far away`;
      await remember(client, run, { state: "failed", error: why });
      return "rest";
    }
  }
  await remember(client, run, { state: "building", cursor: null, rowsDone: 0, rowsTotal: total, detail: extremes });
  return "again";
}

/** Times as PostgreSQL writes them in UTC; those before Christ sort by the server. */
const smaller = (a: string | null, b: string | null): string | null => (a === null || (b !== null && timeOrder(b, a) < 0) ? b : a);
const larger = (a: string | null, b: string | null): string | null => (a === null || (b !== null && timeOrder(b, a) > 0) ? b : a);

/** Order of two times of the same zone: years may have more than four digits, or end in BC. */
export function timeOrder(a: string, b: string): number {
  const parts = (text: string): [number, string] => {
    const dash = text.indexOf("-");
    const year = Number(text.slice(0, dash)) * (text.endsWith("BC") ? -1 : 1);
    return [year, text.slice(dash)];
  };
  const [[yearA, restA], [yearB, restB]] = [parts(a), parts(b)];
  return yearA - yearB || (restA < restB ? -1 : restA > restB ? 1 : 0);
}

async function building({ client, run, table }: Work): Promise<Outcome> {
  if (run.target === null) {
    await inTransaction(client, () => makeCopy(client, run, table));
    return "again";
  }
  const partitions = await partitionsOf(client, run);
  const at = run.detail.partitions ?? 0;
  const partition = partitions[at];
  if (partition) {
    await inTransaction(client, async () => {
      for (const sql of partitionStatements(run.id, table, partition)) await client.query(sql);
      await remember(client, run, { detail: { partitions: at + 1 } });
    });
    return "again";
  }
  const keys = foreignKeyStatements(run.id, table);
  const keyAt = run.detail.foreignKeys ?? 0;
  const key = keys[keyAt];
  if (key) {
    await inTransaction(client, async () => {
      for (const sql of key) await client.query(sql);
      await remember(client, run, { detail: { foreignKeys: keyAt + 1 } });
    });
    return "again";
  }
  await inTransaction(client, async () => {
    await client.query(
      "select ladder.protect_tenant_table($1::oid::regclass, tenant_column) from ladder.tenant_table where schema = $2 and name = $3",
      [run.target, run.schema, run.table],
    );
    await remember(client, run, { state: "syncing" });
  });
  return "again";
}

/** Reads rows with the rights of the conversion's runner. */
function asRunner<T>(client: pg.Client, { detail }: Conversion, work: () => Promise<T>): Promise<T> {
  return inTransaction(client, async () => {
    await client.query(`set local role ${detail.runner}`);
    return work();
  });
}

async function makeCopy(client: pg.Client, run: Conversion, table: Table): Promise<void> {
  await client.query(`lock table only ${table.name} in access share mode`);
  for (const sql of tableStatements(run.id, table, run.declaration)) await client.query(sql);
  const { rows } = await client.query<{ definition: string; columns: string }>(
    "select ladder.table_definition($1) as definition, ladder.table_columns($1) as columns",
    [table.oid],
  );
  const { rows: made } = await client.query<{ oid: number }>("select $1::regclass::oid as oid", [copyName(run.id, run.table)]);
  await remember(client, run, {
    target: made[0]!.oid,
    detail: {
      ...{ ...rows[0]!, triggers: table.triggers.map(({ name, enabled }) => ({ name, enabled })) },
      ...{ partitions: 0, foreignKeys: 0, runner: table.runner },
    },
  });
}

/** The default partition first: the list grows at its end when a new period begins meanwhile. */
async function partitionsOf(client: pg.Client, { declaration, table, detail }: Conversion): Promise<NewPartition[]> {
  if (!declaration) return [];
  if (declaration.kind !== "range") return fixedPartitions(table, declaration);
  return rangePartitions(client, table, declaration, detail.least ?? null, detail.greatest ?? null);
}

async function syncing({ client, run, table, log }: Work): Promise<Outcome> {
  const { sourceKey, targetKey, operators } = run.detail;
  const copy = copyName(run.id, run.table);
  const common = { schema: newSchema(run.id), key: targetKey!, columns: table.columns, operators: operators! };
  const forward: SyncSpec = { ...common, prefix: "to_copy", from: table.name, to: copy, arbiter: targetKey! };
  // After the swap both have the other one's schema.
  const after = { from: table.name, to: copy.replace(newSchema(run.id), `ladder_kept_${run.id}`) };
  const back: SyncSpec = { ...common, prefix: "to_old", ...after, arbiter: sourceKey! };
  await inTransaction(client, async () => {
    await client.query(syncFunctions(forward));
    await client.query(syncFunctions(back));
    await client.query(syncTriggers({ ...back, from: copy }, false));
    // Waits for every transaction that has written to the table: from here on all changes reach the copy, and older ones can be read.
    await client.query(`lock table only ${table.name} in share row exclusive mode`);
    const { rows } = await client.query<{ definition: string }>("select ladder.table_definition($1) as definition", [table.oid]);
    if (rows[0]!.definition !== run.detail.definition) {
      // A constraint that is no longer there would fail writes by way of the copy.
      await beginAgain({ client, run, log }, `${table.name}: its definition has changed since the copy was begun`);
      return;
    }
    await client.query(syncTriggers(forward, true));
    for (const spec of [forward, back]) await client.query(functionOwner(spec, run.detail.runner!));
    await remember(client, run, { state: "copying", cursor: null, rowsDone: 0, rate: null });
  });
  return "again";
}

async function copying({ client, run, table }: Work): Promise<Outcome> {
  const next = () => nextStretch(client, table.name, run.detail.sourceKey!, run.cursor, run.batch);
  const stretch = await asRunner(client, run, next);
  const started = performance.now();
  try {
    await inTransaction(client, async () => {
      // What a crash takes away is the rows and the position together.
      await client.query("set local synchronous_commit = off");
      await client.query(`set local role ${run.detail.runner}`);
      const rows = await copyStretch(client, run, table, stretch);
      await client.query("reset role");
      const batch = stretch.to ? nextBatch(run.batch, performance.now() - started) : run.batch;
      const position = stretch.to ? { cursor: stretch.to } : { state: "verifying" as const, cursor: null };
      const counted = run.rowsDone + rows;
      await remember(client, run, {
        ...position,
        batch,
        rowsDone: stretch.to ? counted : 0,
        ...(stretch.to ? {} : { rowsTotal: counted }),
      });
    });
  } catch (error) {
    if (isBusy(error)) await remember(client, run, { batch: nextBatch(run.batch, Number.POSITIVE_INFINITY) });
    throw error;
  }
  return "again";
}

async function verifying({ client, run, table }: Work): Promise<Outcome> {
  const { stretch, rows, same } = await asRunner(client, run, async () => {
    const next = await nextStretch(client, table.name, run.detail.sourceKey!, run.cursor, COMPARED_AT_A_TIME);
    return { stretch: next, ...(await compareStretch(client, run, table, next)) };
  });
  if (!same) {
    const where = describeStretch(stretch, run.detail.sourceKey!);
    await remember(client, run, { state: "failed", error: `got other rows in the copy than in the table, want the same: ${where}` });
    return "rest";
  }
  if (stretch.to) {
    await remember(client, run, { cursor: stretch.to, rowsDone: run.rowsDone + rows });
    return "again";
  }
  await client.query(`analyze ${copyName(run.id, run.table)}`);
  await remember(client, run, { state: "swapping", cursor: null, rowsDone: run.rowsDone + rows });
  return "again";
}

async function swapping({ client, run, log, done }: Work): Promise<Outcome> {
  const who = await holder(client, run.source!);
  if (who !== undefined) return { waits: who };
  const started = performance.now();
  try {
    await client.query("select ladder.swap_conversion($1)", [run.id]);
  } catch (error) {
    if (codeOf(error) !== CHANGED) throw error;
    await beginAgain({ client, run, log }, (error as Error).message);
    return "again";
  }
  run.state = "kept";
  const took = Math.round(performance.now() - started);
  done(
    `${nameOf(run)}: ${run.direction === "partition" ? "partitioned" : "whole again"}, swapped in ${took} ms; the old table is kept until it is finished`,
  );
  return "rest";
}

async function beginAgain({ client, run, log }: Pick<Work, "client" | "run" | "log">, error: string): Promise<void> {
  log(`${nameOf(run)}: begins again: ${error}`);
  await remember(client, run, { state: "undone", error, detail: { again: true } });
}

/** What the table is now, or undefined when it is gone. */
export const sourceOf = (client: pg.Client, { source }: Conversion): Promise<Table | undefined> =>
  source === null ? Promise.resolve(undefined) : describeTable(client, source);
