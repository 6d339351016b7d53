/** How much of the load the gateway would carry, and rows that many clients change. Pure but for the reading. */
import type pg from "pg";
import { block, cost, count, type Finding, fine } from "./finding.ts";
import type { Measured } from "./measure.ts";
import type { Counted, Statement } from "./statements.ts";

/** What would go through the gateway, and what it carries. Statements a second; one that asks every shard counts once for each. */
export interface Load {
  /** Of statements on sharded tables, without those that are routed. */
  demand: number;
  /** "now": between two looks; "average": since the counters began, if that is more. */
  basis: "now" | "average";
  /** Seconds that the average is over. */
  age: number;
  /** Share of the statements that the operator says is routed. */
  routed: number;
  /** null where nothing was measured. */
  carried: number | null;
  /** Gateway ÷ direct. */
  ratio: number | null;
  measured: Measured | null;
}

const weight = ({ asked }: Statement, shards: number): number => (asked.bound === "none" ? shards : 1);

/** @param routed share of the statements' calls, 0 to 1; those of routed roles are left out beforehand */
export function loadOf({ statements, age }: Counted, shards: number, routed: number, measured: Measured | null): Load {
  const left = routed >= 1 ? [] : statements.filter(({ routed: away, asked }) => !away && asked.tables.length > 0);
  const sum = (rate: (statement: Statement) => number) =>
    left.reduce((all, each) => all + rate(each) * weight(each, shards), 0) * (1 - routed);
  const [now, average] = [sum((each) => each.now ?? 0), sum((each) => each.average)];
  const ratio = measured && measured.gateway / measured.direct;
  return {
    demand: Math.max(now, average),
    basis: now >= average ? "now" : "average",
    age,
    routed,
    ratio,
    carried: measured ? measured.gateway : null,
    measured,
  };
}

/** In the unit in which there are a few. */
function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

/** Above this share of what it carries, the gateway is slow at the next peak. */
const NARROW = 0.7;
const NAMED = 5;
/** Statements a second that every gateway carries, by a wide margin. */
const FEW = 50;
/** Without a measurement: docs/guide/doctor.md. */
const FIFTH = "about a fifth of what the server does directly";

export function gatewayFinding(load: Load, { statements }: Counted, shards: number): Finding {
  const { demand, basis, age, routed, carried, ratio } = load;
  const when = basis === "now" ? "in the last seconds" : `on average in ${span(age)}`;
  const part = routed > 0 && routed < 1 ? `, ${count(100 * (1 - routed))} % of them through the gateway as you say` : "";
  const said = `${count(demand)} statements/s on sharded tables ${when}${part}`;
  if (carried === null)
    return demand < FEW
      ? fine("gateway", said)
      : cost("gateway", `${said}; the gateway carries ${FIFTH}`, "bin/ladder doctor --measure says how many it carries here");
  const able = `the gateway carries about ${count(carried)}/s (${count(100 * ratio!)} % of direct, measured here just now)`;
  if (demand <= NARROW * carried) return fine("gateway", `${said}; ${able}`);
  const most = [...statements]
    .filter((statement) => !statement.routed)
    .map((statement) => ({ text: statement.text, rate: Math.max(statement.now ?? 0, statement.average) * weight(statement, shards) }))
    .sort((a, b) => b.rate - a.rate)
    .slice(0, NAMED)
    .map(({ text, rate }) => `${count(rate)}/s ${text.length > 80 ? `${text.slice(0, 79)}…` : text}`);
  const fix = `first through the client router or the shards' URLs: ${most.join("; ")}; then say so: --routed <share>, or --routed-role <role>`;
  return demand > carried ? block("gateway", `${said}; ${able}`, fix) : cost("gateway", `${said}; ${able}: narrow at the next peak`, fix);
}

/** Updates and writes of each sharded table, its partitions together. */
export interface Writes {
  oid: number;
  rows: number;
  updates: number;
  writes: number;
  seconds: number;
}

const WRITES = `
select t.oid, coalesce(sum(pg_stat_get_live_tuples(p.relid)), 0)::float8 as rows, coalesce(sum(pg_stat_get_tuples_updated(p.relid)), 0)::float8 as updates,
  coalesce(sum(pg_stat_get_tuples_inserted(p.relid) + pg_stat_get_tuples_updated(p.relid) + pg_stat_get_tuples_deleted(p.relid)), 0)::float8 as writes,
  greatest(extract(epoch from clock_timestamp() - coalesce((select stats_reset from pg_stat_database where datname = current_database()), pg_postmaster_start_time())), 1)::float8 as seconds
 from unnest($1::oid[]) t(oid) left join lateral (select relid from pg_partition_tree(t.oid) where isleaf union select t.oid) p on true
 group by t.oid`;

/** Since the statistics were reset or the server was started. */
export async function readWrites(client: pg.Client, oids: readonly number[]): Promise<Writes[]> {
  return (await client.query<Writes>(WRITES, [oids])).rows;
}

/** As TPC-B's branches and tellers: a row for which clients queue. */
const FEW_ROWS = 10_000;
const UPDATES = 1_000;
const UPDATES_PER_ROW = 50;

/** @param name of the table */
export function hotRowsFinding(name: string, { rows, updates }: Writes): Finding[] {
  if (updates < UPDATES || rows > FEW_ROWS || updates < UPDATES_PER_ROW * Math.max(rows, 1)) return [];
  return [
    cost(
      name,
      `hot rows: ${count(updates)} updates of ${count(rows)} rows. Behind the gateway, which is REPEATABLE READ on the shards, those that meet fail with 40001`,
      "through the client router or the shards' URLs, where they wait for each other as today; or repeat after 40001; or insert changes and add them up later",
    ),
  ];
}
