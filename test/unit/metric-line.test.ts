/** The agent's figures as CloudWatch reads them. Cannot prove that CloudWatch takes them. */
import { expect, test } from "vitest";
import { poolFigures } from "../../agent/managed/metrics.ts";
import { metricLine } from "../../plan/render/metric-line.ts";

const NOW = 1_800_000_000_000;

test("a line names its metrics, their units, and the one dimension of its part", () => {
  const [line, ...more] = metricLine("node", "stack-main-1", { heartbeatAge: 3.5, replicationLagBytes: 0, cacheHitPercent: null }, NOW);
  expect(more).toEqual([]);
  expect(JSON.parse(line!)).toEqual({
    _aws: {
      Timestamp: NOW,
      CloudWatchMetrics: [
        {
          Namespace: "pgladder",
          Dimensions: [["DBInstanceIdentifier"]],
          Metrics: [
            { Name: "HeartbeatAge", Unit: "Seconds" },
            { Name: "ReplicationLagBytes", Unit: "Bytes" },
          ],
        },
      ],
    },
    DBInstanceIdentifier: "stack-main-1",
    HeartbeatAge: 3.5,
    ReplicationLagBytes: 0,
  });
  expect(line).not.toContain("\n");
});

test("figures of poolers belong to their group; where there is nothing to say nothing is said", () => {
  expect(JSON.parse(metricLine("pooler", "group-1", { poolWait: 2 }, NOW)[0]!)).toMatchObject({
    AutoScalingGroupName: "group-1",
    PoolWait: 2,
  });
  expect(metricLine("node", "stack-main-1", { statementP99: null }, NOW)).toEqual([]);
});

test("pools of all processes: the longest wait, and everybody who waits, but not the console's own line", () => {
  const row = (database: string, cl_waiting: number, maxwait: number, maxwait_us: number) => ({
    database,
    cl_waiting,
    maxwait,
    maxwait_us,
  });
  expect(poolFigures([row("app", 3, 1, 500_000), row("app_read", 2, 0, 20), row("pgbouncer", 9, 99, 0)])).toEqual({
    poolWait: 1.5,
    poolWaiting: 5,
  });
  expect(poolFigures([])).toEqual({ poolWait: 0, poolWaiting: 0 });
});
