import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../../plan/config.ts";
import { type Alarm, alarms, type Watched } from "../../plan/render/alerts.ts";
import { dashboard } from "../../plan/render/dashboard.ts";
import type { Topology } from "../../plan/topology.ts";
import type { AgentRefs, CacheRefs, Common, DatabaseRefs, Place, PoolerRefs } from "./contract.ts";

export interface MonitoringArgs extends Common {
  topology: Topology;
  /** Thresholds. A change is made in place and costs nothing. */
  alerts: StackConfig["alerts"];
  places: Readonly<Record<string, Place>>;
  /** Topic ARN by region. */
  topics: Readonly<Record<string, pulumi.Output<string>>>;
  database: DatabaseRefs;
  /** One a region. */
  poolers: readonly PoolerRefs[];
  cache: CacheRefs | null;
  agent: AgentRefs;
}

/** What RDS tells about instances, and about their parameter groups. */
const EVENTS: readonly { kind: string; sourceType: string; eventCategories: string[] }[] = [
  {
    kind: "instances",
    sourceType: "db-instance",
    eventCategories: ["availability", "configuration change", "deletion", "failover", "failure", "low storage", "maintenance", "recovery"],
  },
  { kind: "parameters", sourceType: "db-parameter-group", eventCategories: ["configuration change"] },
];

/** Consoles by partition. */
const CONSOLES: Readonly<Record<string, string>> = {
  aws: "console.aws.amazon.com",
  "aws-cn": "console.amazonaws.cn",
  "aws-us-gov": "console.amazonaws-us-gov.com",
};

/** CloudWatch: an alarm for every line of the alert table and every part, a dashboard, and what RDS itself has to say. */
export class Monitoring extends pulumi.ComponentResource {
  readonly dashboardUrl: pulumi.Output<string>;

  constructor(name: string, args: MonitoringArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Monitoring", name, {}, options);
    const watched = watchedOf(args);
    const made = alarms(watched).map((alarm) => ({ ...alarm, resource: this.#alarm(alarm, args) }));
    for (const place of Object.values(args.places)) this.#events(place, args);
    const home = args.places[watched.home]!;
    const shown = made.filter(({ severity, region }) => severity === "critical" && region === home.region);
    const board = new aws.cloudwatch.Dashboard(
      "dashboard",
      {
        dashboardName: args.naming("dashboard", 255),
        dashboardBody: pulumi
          .output(
            dashboard(
              watched,
              shown.map(({ resource }) => resource.arn),
            ),
          )
          .apply((body) => JSON.stringify(body)),
      },
      { parent: this, provider: home.provider },
    );
    const console = `https://${home.region}.${CONSOLES[home.partition]}/cloudwatch/home?region=${home.region}`;
    this.dashboardUrl = pulumi.interpolate`${console}#dashboards/dashboard/${board.dashboardName}`;
    this.registerOutputs({ dashboardUrl: this.dashboardUrl });
  }

  #alarm(alarm: Alarm<pulumi.Output<string>>, { places, topics, naming, tags }: MonitoringArgs): aws.cloudwatch.MetricAlarm {
    const { name, region, description, comparison, missing, metric, namespace, statistic, period, evaluationPeriods, threshold } = alarm;
    const topic = topics[region]!;
    return new aws.cloudwatch.MetricAlarm(
      name,
      {
        name: naming(name, 255),
        alarmDescription: description,
        namespace,
        metricName: metric,
        dimensions: { ...alarm.dimensions },
        statistic,
        period,
        evaluationPeriods,
        datapointsToAlarm: evaluationPeriods,
        comparisonOperator: comparison,
        threshold,
        treatMissingData: missing,
        alarmActions: [topic],
        okActions: [topic],
        tags: tags(name),
      },
      { parent: this, provider: places[region]!.provider },
    );
  }

  #events({ region, provider }: Place, { topics, database, naming, tags }: MonitoringArgs): void {
    const instances = database.nodes.filter((node) => node.region === region).map(({ instance }) => instance);
    if (instances.length === 0) return;
    for (const { kind, ...events } of EVENTS) {
      const part = `rds-${kind}-${region}`;
      const sourceIds = instances.map(({ identifier, parameterGroupName }) => (kind === "instances" ? identifier : parameterGroupName));
      new aws.rds.EventSubscription(
        part,
        { name: naming(part, 255), snsTopic: topics[region]!, ...events, sourceIds, tags: tags(part) },
        { parent: this, provider },
      );
    }
  }
}

function watchedOf({ topology, alerts, database, poolers, cache, agent }: MonitoringArgs): Watched<pulumi.Output<string>> {
  const classes = new Map(topology.nodes.map((node) => [node.name, node.class]));
  return {
    home: topology.regions[0],
    alerts,
    nodes: database.nodes.map((node) => ({ ...node, burstable: /^db\.t/.test(classes.get(node.name) ?? "") })),
    poolers,
    cacheMembers: cache?.memberClusterIds ?? [],
    functions: agent.functionNames,
  };
}
