/**
 * Alarms and the dashboard from the table of what is watched, and that docs/guide/alerts.md has the same table.
 * Cannot prove that CloudWatch has the metrics under these names: they are taken from AWS' documentation, and nothing of it has run there.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { WATCHES, type WatchedNode } from "../../plan/render/alert-table.ts";
import { type Alarm, alarms, type Watched } from "../../plan/render/alerts.ts";
import { dashboard } from "../../plan/render/dashboard.ts";
import { COVERED_CHECKS, OWN_METRICS, ownDimension } from "../../plan/render/metrics.ts";
import { parse } from "../support/config.ts";

const GIB = 1024 ** 3;
const HOME = "us-east-1";
const AWAY = "eu-west-1";

const node = (name: string, role: WatchedNode["role"], region = HOME): WatchedNode => ({
  ...{ name, role, region, identifier: `id-${name}`, storage: 200, memoryBytes: 8 * GIB, maxConnections: 150, burstable: false },
});
const pooler = (region: string) => ({
  ...{
    region,
    autoScalingGroupName: `asg-${region}`,
    loadBalancerSuffix: `net/door/${region}`,
    targetGroupSuffix: `targetgroup/${region}`,
  },
});
const { alerts } = parse({ target: "aws" });

const one: Watched<string> = {
  ...{ home: HOME, alerts, nodes: [node("main-1", "primary")], poolers: [pooler(HOME)], cacheMembers: [] },
  functions: { migrate: "f-migrate", metrics: "f-metrics" },
};
const all: Watched<string> = {
  ...one,
  nodes: [node("main-1", "primary"), node("main-2", "replica"), node("main-eu", "standby", AWAY)],
  poolers: [pooler(HOME), pooler(AWAY)],
  cacheMembers: ["cache-0001-001", "cache-0001-002"],
};

const named = (made: readonly Alarm<string>[], name: string) => made.find((each) => each.name === name)!;
const levels = (made: readonly Alarm<string>[], part: string) =>
  Object.fromEntries(
    [...new Set(made.filter(({ name }) => name.includes(`-${part}-`)).map(({ watch }) => watch))].map((watch) => [
      watch,
      (["warning", "critical"] as const).map((severity) => made.find(({ name }) => name === `${watch}-${part}-${severity}`)?.threshold),
    ]),
  );

describe("thresholds", () => {
  test("of a primary are those of the checklist, of the platform's own health view, and shares of what the node has", () => {
    expect(levels(alarms(one), "main-1")).toEqual({
      connections: [105, 135],
      "cache-hit": [99, 95],
      heartbeat: [30, 300],
      disk: [60 * GIB, 30 * GIB],
      "statement-p99": [500, 2_000],
      "dead-rows": [10_000_000, 50_000_000],
      "long-transaction": [300, 3_600],
      "failed-jobs": [1, undefined],
      health: [undefined, 1],
      cpu: [80, 95],
      memory: [858_993_459, 429_496_729],
      "read-latency": [0.02, 0.1],
      "write-latency": [0.02, 0.1],
      "disk-queue": [64, undefined],
      "transaction-ids": [1_000_000_000, 1_600_000_000],
      "slot-lag": [GIB, 10 * GIB],
    });
  });

  test("of a replica have its lag, and nothing that only a primary has", () => {
    expect(levels(alarms(all), "main-2")).toEqual({
      connections: [105, 135],
      "cache-hit": [99, 95],
      "replication-lag": [1_048_576, 104_857_600],
      heartbeat: [30, 300],
      disk: [60 * GIB, 30 * GIB],
      "statement-p99": [500, 2_000],
      "long-transaction": [300, 3_600],
      cpu: [80, 95],
      memory: [858_993_459, 429_496_729],
      "read-latency": [0.02, 0.1],
      "write-latency": [0.02, 0.1],
      "disk-queue": [64, undefined],
    });
  });

  test("are the operator's where the configuration has them", () => {
    const written = parse({
      target: "aws",
      alerts: { connections: { warning: 50 }, disk: { critical: 99 }, replicationLag: { warning: "2MB" }, p99: { critical: "1min" } },
    }).alerts;
    const made = levels(alarms({ ...all, alerts: written }), "main-2");
    expect(made.connections).toEqual([75, 135]);
    expect(made.disk).toEqual([60 * GIB, 2 * GIB]);
    expect(made["replication-lag"]).toEqual([2_097_152, 104_857_600]);
    expect(made["statement-p99"]).toEqual([500, 60_000]);
  });

  test("of poolers, cache and functions", () => {
    const made = alarms(all);
    expect(levels(made, `pooler-${HOME}`)).toEqual({
      ...{ "pool-wait": [1, 10], "pooler-cpu": [80, undefined], "poolers-unhealthy": [1, undefined], "poolers-healthy": [undefined, 1] },
    });
    expect(levels(made, "cache-2")).toEqual({
      ...{ "cache-cpu": [80, 90], "cache-memory": [80, 95], "cache-evictions": [1_000, undefined], "cache-lag": [10, undefined] },
      "cache-connections": [40_000, 58_000],
    });
    expect(levels(made, "migrate")).toEqual({ "function-errors": [1, undefined] });
    expect(levels(made, "metrics")).toEqual({ "function-errors": [1, undefined], silence: [undefined, 1] });
  });

  test("a burstable class is watched for its credits", () => {
    const made = alarms({ ...one, nodes: [{ ...node("main-1", "primary"), burstable: true }] });
    expect(made).toHaveLength(alarms(one).length + 1);
    expect(named(made, "cpu-credits-main-1-warning")).toMatchObject({
      ...{ metric: "CPUCreditBalance", threshold: 20, comparison: "LessThanThreshold" },
    });
  });
});

describe("alarms", () => {
  test("of AWS' metrics are where the part is, those of our own where the agent is", () => {
    const made = alarms(all);
    expect(named(made, "cpu-main-eu-critical")).toEqual({
      name: "cpu-main-eu-critical",
      watch: "cpu",
      severity: "critical",
      region: AWAY,
      description: "main-eu: Percent of CPU. What to do: docs/guide/alerts.md, cpu",
      namespace: "AWS/RDS",
      metric: "CPUUtilization",
      dimensions: { DBInstanceIdentifier: "id-main-eu" },
      statistic: "Average",
      period: 300,
      evaluationPeriods: 3,
      comparison: "GreaterThanThreshold",
      threshold: 95,
      missing: "missing",
    });
    expect(named(made, "heartbeat-main-eu-critical")).toMatchObject({
      ...{ region: HOME, namespace: "pgladder", metric: "HeartbeatAge", dimensions: { DBInstanceIdentifier: "id-main-eu" } },
      ...{ statistic: "Maximum", period: 60, evaluationPeriods: 5 },
    });
    expect(named(made, `pool-wait-pooler-${AWAY}-warning`)).toMatchObject({
      ...{ region: HOME, dimensions: { AutoScalingGroupName: `asg-${AWAY}` } },
    });
    expect(named(made, `pooler-cpu-pooler-${AWAY}-warning`)).toMatchObject({ region: AWAY, namespace: "AWS/EC2" });
    expect(named(made, `poolers-healthy-pooler-${AWAY}-critical`)).toMatchObject({
      ...{ region: AWAY, comparison: "LessThanThreshold", statistic: "Maximum", missing: "breaching" },
      dimensions: { LoadBalancer: `net/door/${AWAY}`, TargetGroup: `targetgroup/${AWAY}` },
    });
    expect(named(made, "cache-cpu-cache-1-warning")).toMatchObject({ region: HOME, dimensions: { CacheClusterId: "cache-0001-001" } });
    expect(named(made, "silence-metrics-critical")).toMatchObject({ dimensions: { FunctionName: "f-metrics" }, missing: "breaching" });
  });

  test("have names of their own, and only silence is an alarm by missing figures", () => {
    const made = alarms(all);
    expect(new Set(made.map(({ name }) => name)).size).toBe(made.length);
    expect(made.length).toBe(104);
    expect([...new Set(made.filter(({ missing }) => missing === "breaching").map(({ watch }) => watch))]).toEqual([
      "poolers-healthy",
      "silence",
    ]);
  });

  test("use every own metric but those that are only shown, under the dimension that the agent publishes", () => {
    const used = new Set(WATCHES.filter(({ namespace }) => namespace === "pgladder").map(({ metric }) => metric));
    const unused = Object.values(OWN_METRICS).filter(({ name }) => !used.has(name));
    expect(unused.map(({ name }) => name)).toEqual(["PoolWaiting"]);
    expect(ownDimension("node", "id-main-1")).toEqual(named(alarms(one), "heartbeat-main-1-warning").dimensions);
    expect(ownDimension("pooler", `asg-${HOME}`)).toEqual(named(alarms(one), `pool-wait-pooler-${HOME}-warning`).dimensions);
  });

  test("fit CloudWatch: at most a day in all, periods of whole minutes", () => {
    for (const { period, periods } of WATCHES) {
      expect(period % 60).toBe(0);
      expect(period * periods).toBeLessThanOrEqual(86_400);
    }
  });
});

test("checks that the health alarm leaves out are checks of ladder.health", () => {
  const health = readFileSync(join(import.meta.dirname, "../../sql/platform/0069_health.sql"), "utf8");
  for (const check of COVERED_CHECKS) expect(health).toContain(`('${check}', `);
});

describe("the dashboard", () => {
  const { widgets } = dashboard(all, ["arn:1", "arn:2"]);

  test("shows critical alarms first, then a panel for every watch, in four sections", () => {
    expect(widgets[0]).toEqual({
      ...{ type: "alarm", x: 0, y: 0, width: 24, height: 3, properties: { title: "Critical", alarms: ["arn:1", "arn:2"] } },
    });
    expect(widgets.flatMap(({ properties }) => properties.markdown ?? [])).toEqual(["## Database", "## Poolers", "## Cache", "## Agent"]);
    const titles = widgets.flatMap(({ type, properties }) => (type === "metric" ? [properties.title] : []));
    for (const { what, of } of WATCHES) if (of !== "burstable") expect(titles).toContain(what);
    expect(new Set(titles).size).toBe(titles.length);
  });

  test("shows every part in one panel, each from its region", () => {
    const cpu = widgets.find(({ properties }) => properties.title === "Percent of CPU")!;
    const line = (name: string, region: string) => [
      "AWS/RDS",
      "CPUUtilization",
      "DBInstanceIdentifier",
      `id-${name}`,
      { label: name, region },
    ];
    expect(cpu.properties).toEqual({
      ...{ title: "Percent of CPU", view: "timeSeries", region: HOME, stat: "Average", period: 300 },
      metrics: [line("main-1", HOME), line("main-2", HOME), line("main-eu", AWAY)],
    });
  });

  test("has no panels over one another, and none for parts that are not there", () => {
    const cells = widgets.flatMap(({ x, y, width, height }) =>
      Array.from({ length: width * height }, (_, i) => `${x + (i % width)},${y + Math.floor(i / width)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...widgets.map(({ x, width }) => x + width))).toBe(24);
    const alone = dashboard(one, []).widgets.map(({ properties }) => properties.markdown ?? properties.title);
    expect(alone).not.toContain("## Cache");
    expect(alone).not.toContain("Bytes of WAL that a replica has not replayed");
  });

  test("shows at most a hundred alarms, which is all that CloudWatch takes", () => {
    const many = Array.from({ length: 130 }, (_, i) => `arn:${i}`);
    expect(dashboard(one, many).widgets[0]!.properties.alarms).toEqual(many.slice(0, 100));
  });
});

describe("docs/guide/alerts.md", () => {
  const guide = readFileSync(join(import.meta.dirname, "../../docs/guide/alerts.md"), "utf8");
  /** Thresholds that are not plain numbers, in the guide's words. */
  const SHARES: Record<string, string> = {
    connections: "70 % / 90 % · `alerts.connections`",
    "cache-hit": "99 / 95 · `alerts.cacheHit`",
    "replication-lag": "1 MB / 100 MB · `alerts.replicationLag`",
    disk: "30 % / 15 % · `alerts.disk` (70, 85 used)",
    "statement-p99": "500 / 2,000 · `alerts.p99`",
    "dead-rows": "10 / 50 million · `alerts.deadTuples`",
    memory: "10 % / 5 %",
  };
  const SIGN = { above: ">", atLeast: "≥", below: "<" } as const;

  test.each(WATCHES.map((watch) => [watch.key, watch] as const))("%s stands there as it is", (key, watch) => {
    const { warning, critical } = key in SHARES ? {} : watch.levels(alerts, undefined);
    const shown = [warning, critical].map((level) => level?.toLocaleString("en-US") ?? "–").join(" / ");
    const lasts = `${(watch.period * watch.periods) / 60} min`;
    expect(guide).toContain(
      `| \`${key}\` | ${watch.what} | ${SIGN[watch.comparison]} ${SHARES[key] ?? shown} | ${lasts} | ${watch.act} |\n`,
    );
  });
});
