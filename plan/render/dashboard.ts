/** The CloudWatch dashboard: a panel for each line of the alert table, and for what is worth seeing but not worth an alarm. */
import { type Subject, WATCHES, type Watch } from "./alert-table.ts";
import { partsOf, type Watched } from "./alerts.ts";
import { METRICS_NAMESPACE, METRICS_PERIOD, OWN_METRICS } from "./metrics.ts";

type Shown = Pick<Watch, "of" | "what" | "namespace" | "metric" | "statistic" | "period">;

/** Read beside the alarms. */
const BESIDE: readonly Shown[] = [
  { of: "node", what: "Reads of the volume a second", namespace: "AWS/RDS", metric: "ReadIOPS", statistic: "Average", period: 300 },
  { of: "node", what: "Writes to the volume a second", namespace: "AWS/RDS", metric: "WriteIOPS", statistic: "Average", period: 300 },
  {
    of: "balancer",
    what: "Open client connections",
    namespace: "AWS/NetworkELB",
    metric: "ActiveFlowCount",
    statistic: "Average",
    period: 300,
  },
  {
    ...{ of: "pooler", what: "Clients that wait for a server connection", namespace: METRICS_NAMESPACE },
    ...{ metric: OWN_METRICS.poolWaiting.name, statistic: "Maximum", period: METRICS_PERIOD },
  },
  { of: "cache", what: "Keys found in the cache", namespace: "AWS/ElastiCache", metric: "CacheHits", statistic: "Sum", period: 300 },
  { of: "cache", what: "Keys not found in the cache", namespace: "AWS/ElastiCache", metric: "CacheMisses", statistic: "Sum", period: 300 },
  {
    of: "function",
    what: "Milliseconds that a run of the agent takes",
    namespace: "AWS/Lambda",
    metric: "Duration",
    statistic: "Maximum",
    period: 300,
  },
];

const SECTIONS: readonly { title: string; of: readonly Subject[] }[] = [
  { title: "Database", of: ["node", "primary", "replica", "burstable"] },
  { title: "Poolers", of: ["pooler", "balancer"] },
  { title: "Cache", of: ["cache"] },
  { title: "Agent", of: ["function", "publisher"] },
];

/** Panels in a row; the grid is 24 wide. */
const COLUMNS = 3;
const WIDTH = 24 / COLUMNS;
const HEIGHT = 6;
/** Of the panel that shows alarms, by AWS. */
const MOST_ALARMS = 100;

export interface Widget<V> {
  readonly type: "metric" | "text" | "alarm";
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly properties: Readonly<Record<string, unknown>> & {
    readonly metrics?: readonly (readonly (string | V | { label: string; region: string })[])[];
    readonly alarms?: readonly V[];
  };
}

/**
 * The dashboard's body. Parts of further regions are in the same panels.
 * @param critical ARNs of the critical alarms, shown on top
 */
export function dashboard<V>(watched: Watched<V>, critical: readonly V[]): { widgets: readonly Widget<V>[] } {
  const widgets: Widget<V>[] = [];
  let y = 0;
  const row = (height: number, ...made: readonly Omit<Widget<V>, "y" | "height">[]) => {
    widgets.push(...made.map((widget) => ({ ...widget, y, height })));
    y += height;
  };
  row(3, { type: "alarm", x: 0, width: 24, properties: { title: "Critical", alarms: critical.slice(0, MOST_ALARMS) } });
  for (const { title, of } of SECTIONS) {
    const panels = [...WATCHES, ...BESIDE].filter((each) => of.includes(each.of)).flatMap((each) => panel(each, watched));
    if (panels.length === 0) continue;
    row(1, { type: "text", x: 0, width: 24, properties: { markdown: `## ${title}` } });
    for (let first = 0; first < panels.length; first += COLUMNS)
      row(
        HEIGHT,
        ...panels
          .slice(first, first + COLUMNS)
          .map((properties, i) => ({ type: "metric" as const, x: i * WIDTH, width: WIDTH, properties })),
      );
  }
  return { widgets };
}

function panel<V>(shown: Shown, watched: Watched<V>): readonly Widget<V>["properties"][] {
  const { what, namespace, metric, statistic, period } = shown;
  const parts = partsOf(shown, watched);
  if (parts.length === 0) return [];
  return [
    {
      title: what,
      view: "timeSeries",
      region: watched.home,
      stat: statistic,
      period,
      metrics: parts.map(({ name, region, dimensions }) => [
        namespace,
        metric,
        ...Object.entries(dimensions).flat(),
        { label: name, region },
      ]),
    },
  ];
}
