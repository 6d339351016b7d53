/** `metrics`: measures what plan/render/metrics.ts names and says it in CloudWatch's embedded metric format: a line of the log is a metric. */
import type pg from "pg";
import type { ManagedNode, ManagedPooler } from "../../plan/lambda.ts";
import { type Figures, metricLine } from "../../plan/render/metric-line.ts";
import { COVERED_CHECKS, OWN_METRICS } from "../../plan/render/metrics.ts";
import { ROLES } from "../../plan/render/patroni.ts";
import { type Context, withClient } from "../connections.ts";
import { connectAs, connectConsole } from "./connect.ts";
import { addressesOf } from "./secrets.ts";

type Name = keyof typeof OWN_METRICS;

/** Block accesses and calls below which a ratio or a percentile says nothing, as in ladder.threshold. */
const ACCESSES = 100_000;
const CALLS = 100;

/** One number or null by figure. Where they are asked: on every node, or on the primary only. */
const ASKED: Partial<Record<Name, string>> = {
  heartbeatAge: "select greatest(0, extract(epoch from clock_timestamp() - beat))::float8 as value from ladder.heartbeat",
  cacheHitPercent: `select hit_percent::float8 as value from ladder.cache_hit where "table" = '(database)' and blocks_hit + blocks_read >= ${ACCESSES}`,
  statementP99: `select max(s.p99_ms)::float8 as value from ladder.slow_statements s
    join pg_roles r on r.rolname = s."user" and pg_has_role(r.oid, '${ROLES.pooled}', 'member') and not r.rolsuper
    where s.calls >= ${CALLS}`,
  deadRows: "select max(dead_rows)::float8 as value from ladder.dead_tuples",
  longestTransaction: "select coalesce(max(transaction_seconds), 0)::float8 as value from ladder.long_transactions",
  failedJobs: "select count(failing_since)::float8 as value from ladder.jobs",
  healthCritical: `select count(*)::float8 as value from ladder.health where level = 'critical' and "check" <> all (array[${COVERED_CHECKS.map((name) => `'${name}'`).join(", ")}])`,
};

const POSITION = `select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0')::float8 as value`;

async function value(client: pg.Client, sql: string): Promise<number | null> {
  return (await client.query<{ value: number | null }>(sql)).rows[0]?.value ?? null;
}

interface Measured {
  node: ManagedNode;
  figures: Figures;
  /** Bytes of WAL written or replayed. */
  position: number | null;
}

export interface MetricsOptions {
  nodes: readonly ManagedNode[];
  poolers: readonly ManagedPooler[];
  authority: string;
  /** Takes a line of the log as it is: nothing may stand before it. */
  write: (line: string) => void;
  /** Milliseconds since 1970. */
  now: number;
}

/**
 * Measures every node and every region's poolers once.
 * @throws when something could not be asked, after all else is published: the function's own alarm tells of it.
 */
export async function publishMetrics(context: Context, { nodes, poolers, authority, write, now }: MetricsOptions): Promise<void> {
  const problems: string[] = [];
  const failed = (who: string) => (error: Error) => void problems.push(`${who}: ${error.message}`);
  const measured = (
    await Promise.all(
      nodes.map((node) => measure(context, node, (what, error) => failed(`${node.name}: ${what}`)(error)).catch(failed(node.name))),
    )
  ).filter((each) => each !== undefined);
  const leads = new Map(measured.filter(({ node }) => node.role === "primary").map(({ node, position }) => [node.cluster, position]));
  for (const { node, figures, position } of measured) {
    const lead = leads.get(node.cluster) ?? null;
    const behind =
      node.role === "primary" || lead === null || position === null ? {} : { replicationLagBytes: Math.max(0, lead - position) };
    for (const line of metricLine("node", node.identifier, { ...figures, ...behind }, now)) write(line);
  }
  for (const pooler of poolers) {
    const figures = await askPoolers(context, pooler, authority).catch(failed(`poolers of ${pooler.region}`));
    if (figures) for (const line of metricLine("pooler", pooler.group, figures, now)) write(line);
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
}

function measure(context: Context, node: ManagedNode, failed: (what: string, error: Error) => void): Promise<Measured> {
  return withClient(connectAs(context, ROLES.monitor, node.host), async (client) => {
    const figures: Partial<Record<Name, number | null>> = {};
    for (const [name, sql] of Object.entries(ASKED) as [Name, string][]) {
      if (OWN_METRICS[name].of === "primary" && node.role !== "primary") continue;
      figures[name] = await value(client, sql).catch((error: Error) => {
        failed(name, error);
        return null;
      });
    }
    return { node, figures, position: await value(client, POSITION) };
  });
}

/** @throws when no process of the region answers; one that is just coming or going is no news. */
async function askPoolers(context: Context, pooler: ManagedPooler, authority: string): Promise<Figures> {
  const hosts = await addressesOf(pooler.region, pooler.group);
  const places = hosts.flatMap((host) => Array.from({ length: pooler.processes }, (_, i) => ({ host, port: pooler.adminPort + i })));
  const answers = await Promise.allSettled(
    places.map((place) =>
      withClient(
        connectConsole(context, place, pooler.host, authority),
        async (client) => (await client.query<PoolRow>("SHOW POOLS")).rows,
      ),
    ),
  );
  const rows = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  const refused = answers.find((answer) => answer.status === "rejected");
  if (rows.length === 0)
    throw new Error(`got no answer from ${places.length} processes${refused ? `: ${(refused.reason as Error).message}` : ""}`);
  return poolFigures(rows.flat());
}

/** Of all processes of a region together. */
export function poolFigures(rows: readonly PoolRow[]): Figures {
  const pools = rows.filter(({ database }) => database !== "pgbouncer");
  return {
    poolWait: Math.max(0, ...pools.map(({ maxwait, maxwait_us }) => Number(maxwait) + Number(maxwait_us) / 1_000_000)),
    poolWaiting: pools.reduce((sum, { cl_waiting }) => sum + Number(cl_waiting), 0),
  };
}

/** A line of SHOW POOLS. */
export interface PoolRow {
  database: string;
  cl_waiting: number | string;
  maxwait: number | string;
  maxwait_us: number | string;
}
