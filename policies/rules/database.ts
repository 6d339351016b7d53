/** RDS: instances, their parameters, subnets and events. */
import parameters from "../../plan/render/rds-parameters.json" with { type: "json" };
import { argument, at, companion, isGiven, isTrue, list, ofKind, publicSubnets } from "../read.ts";
import type { Recorded, Rule } from "../types.ts";

/** Its source is in the same region: key, subnets and engine are the source's. */
export const isNearReplica = ({ inputs }: Recorded): boolean =>
  isGiven(inputs.replicateSourceDb) && !String(inputs.replicateSourceDb).startsWith("arn:");
export const isReplica = ({ inputs }: Recorded): boolean => isGiven(inputs.replicateSourceDb);

const INSTANCE = "rds.Instance";
const PARAMETERS = "rds.ParameterGroup";

/** Certificate authorities that have not ended. */
const AUTHORITIES = ["rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1"];
const LEAST_DAYS = 7;

const hasEvents =
  (sourceType: string, categories: readonly string[], source: "identifier" | "parameterGroupName") =>
  (event: Recorded, { inputs }: Recorded): boolean =>
    event.inputs.sourceType === sourceType &&
    event.inputs.enabled !== false &&
    categories.every((category) => list(event.inputs.eventCategories).includes(category)) &&
    list(event.inputs.sourceIds).includes(inputs[source]);

/** The value of one parameter of a group. */
const parameter = ({ inputs }: Recorded, name: string): unknown =>
  at(
    list(inputs.parameters).find((each) => at(each, "name") === name),
    "value",
  );

function setting(id: string, from: readonly string[], name: string, want: string, ok: (value: string) => boolean): Rule {
  const check: Rule["check"] = (group) => {
    const got = parameter(group, name);
    return got !== undefined && ok(String(got)) ? [] : [{ path: name, got }];
  };
  return { id, from, on: [PARAMETERS], path: name, want, check };
}

const on = (value: string) => value === "1" || value === "on";
const names = (value: string) => value.split(",").map((each) => each.trim());

const STATIC = new Set(
  Object.entries(parameters.parameters as Readonly<Record<string, { apply: string }>>).flatMap(([name, { apply }]) =>
    apply === "static" ? [name] : [],
  ),
);

export const DATABASE: readonly Rule[] = [
  argument("rds-encrypted", ["RDS.3", "CKV_AWS_16", "CIS AWS 2.3.1"], INSTANCE, "storageEncrypted", "true", isTrue),
  argument(
    "rds-own-key",
    ["CKV_AWS_16"],
    INSTANCE,
    "kmsKeyId",
    "a key of the stack or the operator",
    (key, it) => isGiven(key) || isNearReplica(it),
  ),
  argument("rds-private", ["RDS.2", "CKV_AWS_17", "CIS AWS 2.3.3"], INSTANCE, "publiclyAccessible", "false", (value) => value === false),
  argument("rds-multi-az", ["RDS.5", "CKV_AWS_157"], INSTANCE, "multiAz", "true", isTrue),
  argument(
    "rds-os-metrics",
    ["RDS.6", "CKV_AWS_118"],
    INSTANCE,
    "monitoringInterval",
    "1 to 60 seconds, and a role for it",
    (seconds, { inputs }) => Number(seconds) > 0 && isGiven(inputs.monitoringRoleArn),
  ),
  argument("rds-deletion-protected", ["RDS.8", "CKV_AWS_293"], INSTANCE, "deletionProtection", "true", isTrue),
  argument(
    "rds-logs-exported",
    ["RDS.9", "RDS.36", "CKV_AWS_129"],
    INSTANCE,
    "enabledCloudwatchLogsExports",
    "postgresql and upgrade",
    (logs) => ["postgresql", "upgrade"].every((log) => list(logs).includes(log)),
  ),
  argument("rds-iam-logins", ["RDS.10", "CKV_AWS_161"], INSTANCE, "iamDatabaseAuthenticationEnabled", "true", isTrue),
  argument(
    "rds-backed-up",
    ["RDS.11", "CKV_AWS_133"],
    INSTANCE,
    "backupRetentionPeriod",
    `at least ${LEAST_DAYS} days`,
    (days) => Number(days) >= LEAST_DAYS,
  ),
  argument("rds-minor-upgrades", ["RDS.13", "CKV_AWS_226", "CIS AWS 2.3.2"], INSTANCE, "autoMinorVersionUpgrade", "true", isTrue),
  argument("rds-tags-in-snapshots", ["RDS.17", "CKV2_AWS_60"], INSTANCE, "copyTagsToSnapshot", "true", isTrue),
  argument(
    "rds-in-vpc",
    ["RDS.18"],
    INSTANCE,
    "dbSubnetGroupName",
    "a subnet group of a VPC",
    (group, it) => isGiven(group) || isNearReplica(it),
  ),
  argument("rds-security-group", ["RDS.18"], INSTANCE, "vpcSecurityGroupIds", "a security group other than the VPC's default", (groups) =>
    list(groups).some(isGiven),
  ),
  argument("rds-port", ["RDS.23"], INSTANCE, "port", "another than 5432", (port) => port !== undefined && port !== 5432),
  argument(
    "rds-admin-name",
    ["RDS.25"],
    INSTANCE,
    "username",
    "a name that nobody guesses first",
    (name, it) => isReplica(it) || (isGiven(name) && !["postgres", "admin", "root", "rdsadmin"].includes(String(name))),
  ),
  {
    id: "rds-backup-plan",
    from: ["RDS.26"],
    on: [INSTANCE],
    want: "a backup plan that selects the primary",
    check: (it, all) =>
      isReplica(it) || ofKind(all, "backup.Selection").some(({ inputs }) => list(inputs.resources).some((arn) => selects(arn, it)))
        ? []
        : [{ path: "backup.Selection", got: undefined }],
  },
  argument("rds-insights", ["CKV_AWS_353"], INSTANCE, "performanceInsightsEnabled", "true", isTrue),
  argument("rds-insights-key", ["CKV_AWS_354"], INSTANCE, "performanceInsightsKmsKeyId", "a key of the stack or the operator", isGiven),
  argument("rds-authority", ["CKV_AWS_211"], INSTANCE, "caCertIdentifier", `one of ${AUTHORITIES.join(", ")}`, (name) =>
    AUTHORITIES.includes(String(name)),
  ),
  argument(
    "rds-final-snapshot",
    ["AWS: what skipFinalSnapshot loses"],
    INSTANCE,
    "finalSnapshotIdentifier",
    "a final snapshot of the primary",
    (name, it) => isReplica(it) || (isGiven(name) && it.inputs.skipFinalSnapshot === false),
  ),
  argument(
    "rds-own-password",
    ["AWS: refused with read replicas"],
    INSTANCE,
    "manageMasterUserPassword",
    "left out",
    (value) => !isTrue(value),
  ),
  {
    id: "rds-replica-arguments",
    from: ["AWS: a replica takes them from its source"],
    on: [INSTANCE],
    want: "no password, username, dbName or engine on a replica",
    check: (it) =>
      isReplica(it)
        ? ["password", "username", "dbName", "engine"].flatMap((path) => (it.inputs[path] === undefined ? [] : [{ path, got: "a value" }]))
        : [],
  },
  companion(
    "rds-events",
    ["RDS.20"],
    INSTANCE,
    "rds.EventSubscription",
    "told of maintenance, configuration change and failure",
    hasEvents("db-instance", ["maintenance", "configuration change", "failure"], "identifier"),
  ),
  companion(
    "rds-parameter-events",
    ["RDS.21"],
    INSTANCE,
    "rds.EventSubscription",
    "told when its parameters change",
    hasEvents("db-parameter-group", ["configuration change"], "parameterGroupName"),
  ),
  argument(
    "rds-subnets",
    ["RDS.46"],
    "rds.SubnetGroup",
    "subnetIds",
    "subnets in two zones or more, none with a way in from outside",
    (ids, _, all) => {
      const open = publicSubnets(all);
      return list(ids).length >= 2 && !list(ids).some((id) => open.has(id));
    },
  ),
  argument("rds-proxy-tls", ["RDS.43"], "rds.Proxy", "requireTls", "true", isTrue),
  setting("pg-tls", ["RDS.38", "CKV2_AWS_69", "CIS PostgreSQL: TLS"], "rds.force_ssl", "1", on),
  setting("pg-tls-version", ["CIS PostgreSQL: TLS 1.2"], "ssl_min_protocol_version", "TLSv1.2 or TLSv1.3", (value) =>
    /^TLSv1\.[23]$/.test(value),
  ),
  setting(
    "pg-scram",
    ["CIS PostgreSQL: password_encryption"],
    "password_encryption",
    "scram-sha-256",
    (value) => value === "scram-sha-256",
  ),
  setting("pg-log-connections", ["CIS PostgreSQL: log_connections"], "log_connections", "on", on),
  setting("pg-log-disconnections", ["CIS PostgreSQL: log_disconnections"], "log_disconnections", "on", on),
  setting("pg-log-lock-waits", ["CIS PostgreSQL: logging"], "log_lock_waits", "on", on),
  setting("pg-log-statements", ["CKV2_AWS_30"], "log_min_duration_statement", "0 or more milliseconds", (value) => Number(value) >= 0),
  setting("pg-audit-loaded", ["CIS PostgreSQL: pgaudit"], "shared_preload_libraries", "pgaudit among them", (value) =>
    names(value).includes("pgaudit"),
  ),
  setting(
    "pg-audit",
    ["CIS PostgreSQL: pgaudit.log"],
    "pgaudit.log",
    "ddl and role at least",
    (value) => names(value).includes("all") || ["ddl", "role"].every((kind) => names(value).includes(kind)),
  ),
  {
    id: "pg-apply-method",
    from: ["AWS: refuses `immediate` for a static parameter"],
    on: [PARAMETERS],
    want: "pending-reboot for static parameters",
    check: ({ inputs }) =>
      list(inputs.parameters).flatMap((each) =>
        STATIC.has(String(at(each, "name"))) && at(each, "applyMethod") !== "pending-reboot"
          ? [{ path: String(at(each, "name")), got: at(each, "applyMethod") }]
          : [],
      ),
  },
];

/** A selection names an ARN; by its end it is the instance's. */
const selects = (arn: unknown, { inputs }: Recorded): boolean => arn === "*" || String(arn).endsWith(`:db:${inputs.identifier}`);
