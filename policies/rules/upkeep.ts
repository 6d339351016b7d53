/** What is logged, watched and backed up; protection and tags of everything. */
import { argument, at, companion, isGiven, isTrue, list } from "../read.ts";
import type { Kind, Recorded, Rule } from "../types.ts";

const ALARM = "cloudwatch.MetricAlarm";
const VAULT = "backup.Vault";

/** Their loss is a loss of data. */
const STATEFUL: readonly Kind[] = ["rds.Instance", "elasticache.ReplicationGroup", "kms.Key", "secretsmanager.Secret", VAULT];

const TAGS = ["project", "stack", "part", "managed-by"];
const TAGGED: readonly Kind[] = [
  ...(["rds.Instance", "rds.ParameterGroup", "rds.SubnetGroup", "rds.EventSubscription", "rds.Proxy"] as const),
  ...(["elasticache.ReplicationGroup", "elasticache.SubnetGroup", "elasticache.ParameterGroup"] as const),
  ...(["elasticache.User", "elasticache.UserGroup", "iam.InstanceProfile", "lb.Listener", "ssm.Parameter"] as const),
  ...(["ec2.Vpc", "ec2.Subnet", "ec2.RouteTable", "ec2.InternetGateway", "ec2.NatGateway", "ec2.Eip", "ec2.SecurityGroup"] as const),
  ...(["ec2.VpcEndpoint", "ec2.FlowLog", "ec2.VpcPeeringConnection", "ec2.LaunchTemplate", "lb.LoadBalancer", "lb.TargetGroup"] as const),
  ...(["iam.Role", "kms.Key", "secretsmanager.Secret", "sns.Topic", "lambda.Function", "ecr.Repository", "route53.Zone"] as const),
  ...(["cloudwatch.LogGroup", ALARM, "cloudwatch.EventRule", VAULT, "backup.Plan", "backup.RestoreTestingPlan", "s3.Bucket"] as const),
];

export const UPKEEP: readonly Rule[] = [
  argument("log-key", ["CKV_AWS_158"], "cloudwatch.LogGroup", "kmsKeyId", "a key of the stack or the operator", isGiven),
  argument(
    "log-retention",
    ["CloudWatch.16", "CKV_AWS_66", "CKV_AWS_338"],
    "cloudwatch.LogGroup",
    "retentionInDays",
    "at least 365 days, and an end",
    (days) => Number(days) >= 365,
  ),
  argument("alarm-tells", ["CloudWatch.15"], ALARM, "alarmActions", "somebody to tell", (actions) => list(actions).some(isGiven)),
  argument("alarm-enabled", ["CloudWatch.17", "CKV_AWS_319"], ALARM, "actionsEnabled", "true", (value) => value !== false),
  argument(
    "alarm-window",
    ["AWS: at most a day in all"],
    ALARM,
    "evaluationPeriods",
    "a day at most, or a week for periods of an hour",
    (periods, { inputs }) => Number(periods) * Number(inputs.period) <= (Number(inputs.period) < 3_600 ? 86_400 : 604_800),
  ),
  argument("vault-key", ["Backup.1", "CKV_AWS_166"], VAULT, "kmsKeyArn", "a key of the stack or the operator", isGiven),
  argument("vault-kept", ["AWS: forceDestroy deletes what is in it"], VAULT, "forceDestroy", "false", (value) => !isTrue(value)),
  argument(
    "backup-days",
    ["RDS.11"],
    "backup.Plan",
    "rules",
    "snapshots that stay for 7 days at least",
    (rules) => list(rules).length > 0 && list(rules).every((rule) => Number(at(rule, "lifecycle.deleteAfter")) >= 7),
  ),
  companion(
    "backup-restored",
    ["AWS Well-Architected REL09-BP04"],
    "backup.Plan",
    "backup.RestoreTestingPlan",
    "a schedule on which backups are restored",
    (plan) => isGiven(plan.inputs.scheduleExpression),
  ),
  {
    id: "stateful-protected",
    from: ["docs/architecture.md"],
    on: STATEFUL,
    want: "Pulumi's protection",
    check: ({ protect }: Recorded) => (protect === true ? [] : [{ path: "protect", got: protect ?? false }]),
  },
  {
    id: "tagged",
    from: [
      "RDS.28",
      "RDS.30",
      "RDS.33",
      "EC2.35",
      "EC2.44",
      "IAM.24",
      "Lambda.6",
      "SecretsManager.5",
      "SNS.3",
      "Backup.3",
      "Backup.5",
      "ECR.4",
    ],
    on: TAGGED,
    want: `tags ${TAGS.join(", ")}`,
    check: ({ inputs }) => {
      const missing = TAGS.filter((tag) => !isGiven(at(inputs, `tags.${tag}`)));
      return missing.length === 0 ? [] : [{ path: "tags", got: `none of ${missing.join(", ")}` }];
    },
  },
];
