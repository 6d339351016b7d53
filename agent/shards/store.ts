/** Rows of ladder.move: the steps of a move between servers, so that another process can go on where one was killed. */
import type pg from "pg";
import type { ShardClass } from "../../plan/shards.ts";
import type { Index } from "./indexes.ts";
import type { GlobalTable, ShardedTable } from "./types.ts";

/** 3-4: onto shards. 4-3: back to one server. 4-4: between shards. */
export type Kind = "3-4" | "4-3" | "4-4";
export type StepState = "waiting" | "running" | "done" | "failed" | "undone";

/** What a move is about: kept from its beginning to its end, whatever is configured meanwhile. */
export interface Subject {
  tables: readonly ShardedTable[];
  globals: readonly GlobalTable[];
  shards: readonly { index: number; database: string; class: ShardClass }[];
}

export interface Detail {
  /** Of a run's first step. */
  subject?: Subject;
  /** What is waited for. */
  waits?: string | null;
  rowsDone?: number;
  rowsTotal?: number;
  /** Seconds. */
  left?: number | null;
  /** By shard: secondary indexes that are away while it is filled. */
  indexes?: Record<string, readonly Index[]>;
  /** When blockers were last looked for, ms since 1970. */
  checked?: number;
  /** Table and shard of the sides that were found equal. */
  equal?: readonly string[];
  /** When a flip that was put off is tried again, ms since 1970. */
  next?: number;
  /** Attempts that were put off. */
  tries?: number;
  /** Why a move was given up. */
  reason?: string;
  /** The operator has ended the way back. */
  finish?: boolean;
  /** Given up because a server would have been in danger: not begun again for a while. */
  guarded?: boolean;
  /** Rows that were compared. */
  compared?: number;
  /** ms for which writers were held up. */
  held?: number;
}

export interface Step {
  id: string;
  kind: Kind;
  run: number;
  step: string;
  position: number;
  state: StepState;
  detail: Detail;
  error: string | null;
  /** Seconds since it began, or since it ended. */
  age: number;
}

export interface Run {
  kind: Kind;
  run: number;
  /** In their order. */
  steps: Step[];
  subject: Subject;
}

const READ = `select id, kind, run, step, position, state, detail, error,
  coalesce(extract(epoch from clock_timestamp() - coalesce(finished, started)), 0)::float8 as age from ladder.move`;

/** The last move between servers; undefined before the first. */
export async function lastRun(client: pg.Client): Promise<Run | undefined> {
  const { rows } = await client.query<Step>(
    `${READ} where (kind, run) = (select kind, run from ladder.move where kind in ('3-4', '4-3', '4-4') order by id desc limit 1) order by position`,
  );
  const [first] = rows;
  return first && { kind: first.kind, run: first.run, steps: rows, subject: first.detail.subject! };
}

export async function beginRun(client: pg.Client, kind: Kind, names: readonly string[], subject: Subject): Promise<Run> {
  await client.query(
    `insert into ladder.move (kind, run, position, step, detail)
     select $1, coalesce((select max(run) from ladder.move where kind = $1), 0) + 1, n, name, case n when 1 then $3::jsonb else '{}' end
     from unnest($2::text[]) with ordinality s (name, n)`,
    [kind, names, JSON.stringify({ subject })],
  );
  return (await lastRun(client))!;
}

/** Adds a step to a run. */
export async function addStep(client: pg.Client, { kind, run, steps }: Run, step: string, detail: Detail): Promise<void> {
  await client.query(
    "insert into ladder.move (kind, run, position, step, state, started, detail) values ($1, $2, $3, $4, 'running', clock_timestamp(), $5) on conflict (kind, run, step) do nothing",
    [kind, run, Math.max(...steps.map(({ position }) => position)) + 1, step, JSON.stringify(detail)],
  );
}

export interface Change {
  state?: StepState;
  detail?: Detail;
  error?: string | null;
}

/** Writes what has changed, into the object and into the table; of `detail` only the given keys. Part of the caller's transaction. */
export async function remember(
  client: pg.Client,
  step: Step,
  { state = step.state, detail = {}, error = step.error }: Change,
): Promise<void> {
  await client.query(
    `update ladder.move set state = $2, error = $3, detail = detail || $4::jsonb,
       started = coalesce(started, clock_timestamp()), finished = case when $2 in ('done', 'undone', 'failed') then clock_timestamp() end
     where id = $1`,
    [step.id, state, error, JSON.stringify(detail)],
  );
  Object.assign(step, { state, error, detail: { ...step.detail, ...detail } });
}

/** Writes only what a step has failed with, and nothing that a transaction which has failed may have changed in the object. */
export async function complain(client: pg.Client, { id }: Step, error: string): Promise<void> {
  await client.query("update ladder.move set error = $2 where id = $1", [id, error]);
}

/** Where a run stands. "kept": rows have moved, the way back is open. "undone": given up, and everything is as before. */
export function standing({ steps }: Run): "under way" | "undoing" | "undone" | "kept" | "done" {
  const undo = steps.find(({ step }) => step === "undo");
  if (undo) return undo.state === "done" ? "undone" : "undoing";
  const now = steps.find(({ state }) => state !== "done");
  if (!now) return "done";
  return now.step === "kept" ? "kept" : "under way";
}

/** The step that is to be done; undefined when there is none, as after an undo, which comes before everything else. */
export function current({ steps }: Run): Step | undefined {
  const undo = steps.find(({ step }) => step === "undo");
  return (undo ? [undo] : steps).find(({ state }) => state !== "done");
}

/** What moves between servers just now, in words, or whose way back is kept; undefined when nothing does: then migrations may change tables. */
export async function moveUnderWay(client: pg.Client): Promise<string | undefined> {
  const run = await lastRun(client);
  if (!run) return undefined;
  const names: Record<Kind, string> = {
    "3-4": "the move onto shards",
    "4-3": "the way back to one server",
    "4-4": "the move between shards",
  };
  switch (standing(run)) {
    case "under way":
      // What the check finds is put right by migrations.
      return current(run)!.step === "check" ? undefined : `${names[run.kind]} is under way`;
    case "undoing":
      return `${names[run.kind]} is under way`;
    case "kept":
      return `the way back of ${names[run.kind]} is kept until ladder finish`;
    default:
      return undefined;
  }
}
