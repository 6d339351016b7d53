/** From the table of what is watched and the parts of a stack to alarms. Pure; `V` is a name that AWS computes. */
import type { StackConfig } from "../config.ts";
import { type Subject, WATCHES, type Watch, type WatchedNode } from "./alert-table.ts";

export type Severity = "warning" | "critical";

export interface WatchedPooler<V> {
  readonly region: string;
  readonly autoScalingGroupName: string;
  readonly loadBalancerSuffix: V;
  readonly targetGroupSuffix: V;
}

/** Everything of a stack that alarms look at. */
export interface Watched<V> {
  /** The home region, where the agent, the cache and our own metrics are. */
  readonly home: string;
  readonly alerts: StackConfig["alerts"];
  readonly nodes: readonly WatchedNode[];
  readonly poolers: readonly WatchedPooler<V>[];
  /** Member cluster ids; none below stage 3. */
  readonly cacheMembers: readonly string[];
  /** Function names by command. */
  readonly functions: Readonly<Record<string, string>>;
}

export interface Alarm<V> {
  /** Unique in the stack: `<watch>-<part>-<severity>`. */
  readonly name: string;
  /** Key of its line in the table and in docs/guide/alerts.md. */
  readonly watch: string;
  readonly severity: Severity;
  /** Region of the metric: an alarm sees only its own. */
  readonly region: string;
  readonly description: string;
  readonly namespace: string;
  readonly metric: string;
  readonly dimensions: Readonly<Record<string, string | V>>;
  readonly statistic: Watch["statistic"];
  /** Seconds. */
  readonly period: number;
  readonly evaluationPeriods: number;
  readonly comparison: "GreaterThanThreshold" | "GreaterThanOrEqualToThreshold" | "LessThanThreshold";
  readonly threshold: number;
  readonly missing: Watch["missing"];
}

/** A part that a watch looks at. */
export interface Part<V> {
  readonly name: string;
  readonly region: string;
  readonly dimensions: Readonly<Record<string, string | V>>;
  readonly node?: WatchedNode;
}

const COMPARISONS = {
  above: "GreaterThanThreshold",
  atLeast: "GreaterThanOrEqualToThreshold",
  below: "LessThanThreshold",
} as const satisfies Record<Watch["comparison"], Alarm<never>["comparison"]>;

/** The command of the agent that publishes our own metrics. */
export const PUBLISHER = "metrics";

/** The parts that a watch looks at, with the region and the dimensions of its metric. */
export function partsOf<V>({ of, namespace }: Pick<Watch, "of" | "namespace">, watched: Watched<V>): readonly Part<V>[] {
  const { home, nodes, poolers, cacheMembers, functions } = watched;
  // What AWS measures is where the part is; what the agent measures is where the agent is.
  const at = (region: string) => (namespace.startsWith("AWS/") ? region : home);
  const database = (wanted: (node: WatchedNode) => boolean): Part<V>[] =>
    nodes.filter(wanted).map((node) => ({
      name: node.name,
      region: at(node.region),
      dimensions: { DBInstanceIdentifier: node.identifier },
      node,
    }));
  const commands = (wanted: (command: string) => boolean): Part<V>[] =>
    Object.entries(functions).flatMap(([command, FunctionName]) =>
      wanted(command) ? [{ name: command, region: home, dimensions: { FunctionName } }] : [],
    );
  const parts: Record<Subject, () => readonly Part<V>[]> = {
    node: () => database(() => true),
    primary: () => database(({ role }) => role === "primary"),
    replica: () => database(({ role }) => role !== "primary"),
    burstable: () => database(({ burstable }) => burstable),
    pooler: () =>
      poolers.map(({ region, autoScalingGroupName }) => ({
        name: `pooler-${region}`,
        region: at(region),
        dimensions: { AutoScalingGroupName: autoScalingGroupName },
      })),
    balancer: () =>
      poolers.map(({ region, loadBalancerSuffix, targetGroupSuffix }) => ({
        name: `pooler-${region}`,
        region,
        dimensions: { LoadBalancer: loadBalancerSuffix, TargetGroup: targetGroupSuffix },
      })),
    cache: () => cacheMembers.map((CacheClusterId, i) => ({ name: `cache-${i + 1}`, region: home, dimensions: { CacheClusterId } })),
    function: () => commands(() => true),
    publisher: () => commands((command) => command === PUBLISHER),
  };
  return parts[of]();
}

/** Every alarm of a stack, in the order of the table. */
export function alarms<V>(watched: Watched<V>): readonly Alarm<V>[] {
  return WATCHES.flatMap((watch) =>
    partsOf(watch, watched).flatMap((part) => {
      const levels = watch.levels(watched.alerts, part.node);
      return (["warning", "critical"] as const).flatMap((severity) => {
        const threshold = levels[severity];
        return threshold === undefined ? [] : [alarm(watch, part, severity, threshold)];
      });
    }),
  );
}

function alarm<V>(watch: Watch, part: Part<V>, severity: Severity, threshold: number): Alarm<V> {
  return {
    name: `${watch.key}-${part.name}-${severity}`,
    watch: watch.key,
    severity,
    region: part.region,
    description: `${part.name}: ${watch.what}. What to do: docs/guide/alerts.md, ${watch.key}`,
    namespace: watch.namespace,
    metric: watch.metric,
    dimensions: part.dimensions,
    statistic: watch.statistic,
    period: watch.period,
    evaluationPeriods: watch.periods,
    comparison: COMPARISONS[watch.comparison],
    threshold,
    missing: watch.missing,
  };
}
