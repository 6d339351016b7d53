/** Metrics as lines of a log: CloudWatch's embedded metric format, which needs no right beside writing the log. */
import { METRICS_NAMESPACE, OWN_METRICS, type OwnMetric, ownDimension } from "./metrics.ts";

/** Values by key of OWN_METRICS; null where there is nothing to say. */
export type Figures = Readonly<Partial<Record<keyof typeof OWN_METRICS, number | null>>>;

/**
 * The line that publishes figures of one part; none without figures.
 * Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 * @param of decides the dimension
 * @param id its value
 * @param now milliseconds since 1970
 */
export function metricLine(of: OwnMetric["of"], id: string, figures: Figures, now: number): string[] {
  const known = Object.entries(figures).flatMap(([key, value]) =>
    value === null || value === undefined ? [] : [{ ...OWN_METRICS[key as keyof typeof OWN_METRICS], value }],
  );
  if (known.length === 0) return [];
  const dimension = ownDimension(of, id);
  const directive = {
    Namespace: METRICS_NAMESPACE,
    Dimensions: [Object.keys(dimension)],
    Metrics: known.map(({ name, unit }) => ({ Name: name, Unit: unit })),
  };
  return [
    JSON.stringify({
      _aws: { Timestamp: now, CloudWatchMetrics: [directive] },
      ...dimension,
      ...Object.fromEntries(known.map(({ name, value }) => [name, value])),
    }),
  ];
}
