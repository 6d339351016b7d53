/** Made-up resources of an account in which every rule of policies/ is held. */
import { type Kind, type Recorded, token } from "../../policies/types.ts";

const KEY = "arn:aws:kms:us-east-1:123456789012:key/1";
const TOPIC = "arn:aws:sns:us-east-1:123456789012:notices";
export const tags = { project: "p", stack: "s", part: "x", "managed-by": "pgladder" };
export const PRIVATE = ["private-a", "private-b"];

export const document = (...statements: object[]) => JSON.stringify({ Version: "2012-10-17", Statement: statements });
export const account = { StringEquals: { "aws:SourceAccount": "123456789012" } };
export const tlsOnly = {
  Effect: "Deny",
  Principal: "*",
  Action: "*",
  Resource: "*",
  Condition: { Bool: { "aws:SecureTransport": "false" } },
};
export const alarmsSend = { Effect: "Allow", Principal: { Service: "cloudwatch.amazonaws.com" }, Action: "sns:Publish", Resource: TOPIC };
export const readsSecret = {
  Effect: "Allow",
  Action: ["secretsmanager:GetSecretValue"],
  Resource: "arn:aws:secretsmanager:us-east-1:1:secret:a-??????",
};
export const rootMayAll = { Effect: "Allow", Principal: { AWS: "arn:aws:iam::1:root" }, Action: "kms:*", Resource: "*" };
export const trusts = (principal: object | string) => document({ Effect: "Allow", Principal: principal, Action: "sts:AssumeRole" });

const PARAMETERS: Record<string, string> = {
  "rds.force_ssl": "1",
  ssl_min_protocol_version: "TLSv1.2",
  password_encryption: "scram-sha-256",
  log_connections: "1",
  log_disconnections: "1",
  log_lock_waits: "1",
  log_min_duration_statement: "250",
  shared_preload_libraries: "pg_stat_statements,pgaudit",
  "pgaudit.log": "ddl, role",
};
export const parameters = (changed: Record<string, string> = {}) =>
  Object.entries({ ...PARAMETERS, ...changed }).map(([name, value]) => ({
    name,
    value,
    applyMethod: name === "shared_preload_libraries" ? "pending-reboot" : "immediate",
  }));

const instance = {
  ...{ identifier: "main-1", storageEncrypted: true, kmsKeyId: KEY, publiclyAccessible: false, multiAz: true, monitoringInterval: 60 },
  ...{ monitoringRoleArn: "arn:aws:iam::1:role/m", deletionProtection: true, enabledCloudwatchLogsExports: ["postgresql", "upgrade"] },
  ...{ iamDatabaseAuthenticationEnabled: true, backupRetentionPeriod: 7, autoMinorVersionUpgrade: true, copyTagsToSnapshot: true },
  ...{
    dbSubnetGroupName: "databases",
    vpcSecurityGroupIds: ["sg-1"],
    port: 6000,
    username: "ladder_admin",
    performanceInsightsEnabled: true,
  },
  ...{
    performanceInsightsKmsKeyId: KEY,
    caCertIdentifier: "rds-ca-rsa2048-g1",
    skipFinalSnapshot: false,
    finalSnapshotIdentifier: "final",
  },
  ...{ parameterGroupName: "pg17", tags },
};
const cache = {
  ...{ snapshotRetentionLimit: 1, autoMinorVersionUpgrade: true, automaticFailoverEnabled: true, multiAzEnabled: true },
  ...{ atRestEncryptionEnabled: true, kmsKeyId: KEY, transitEncryptionEnabled: true, authToken: "t", subnetGroupName: "caches" },
  ...{ numNodeGroups: 1, replicasPerNodeGroup: 1, tags },
};
const template = {
  metadataOptions: { httpTokens: "required", httpPutResponseHopLimit: 1 },
  networkInterfaces: [{ associatePublicIpAddress: "false" }],
  blockDeviceMappings: [{ ebs: { encrypted: "true" } }],
  tagSpecifications: [{ resourceType: "instance" }, { resourceType: "volume" }],
  userData: Buffer.from('{"secretArn": "arn:aws:secretsmanager:us-east-1:1:secret:a"}').toString("base64"),
  tags,
};
const balancer = {
  ...{ name: "door", internal: true, securityGroups: ["sg-2"], subnets: PRIVATE, enableDeletionProtection: true },
  ...{ enableCrossZoneLoadBalancing: true, accessLogs: { enabled: true, bucket: "logs" }, tags },
};
const lambda = {
  ...{ name: "move", vpcConfig: { subnetIds: PRIVATE, securityGroupIds: ["sg-3"] }, runtime: "nodejs24.x", kmsKeyArn: KEY },
  ...{ environment: { variables: { SECRET_ARN: "arn:aws:secretsmanager:us-east-1:1:secret:a" } }, reservedConcurrentExecutions: 1 },
  ...{ deadLetterConfig: { targetArn: TOPIC }, tracingConfig: { mode: "Active" }, codeSigningConfigArn: "arn:aws:lambda:…", tags },
};
const described = { description: "d", ipProtocol: "tcp", fromPort: 5432, toPort: 5432 };
const alarm = { alarmActions: [TOPIC], evaluationPeriods: 5, period: 60, tags };

const make = (kind: Kind, name: string, inputs: Recorded["inputs"], protect = false): Recorded => ({
  ...{ type: token(kind), name, inputs, id: `${name}-id`, protect },
});

/** Everything in order. Names are unique. */
export const GOOD: readonly Recorded[] = [
  make("rds.Instance", "main-1", instance, true),
  make("rds.ParameterGroup", "pg17", { name: "pg17", parameters: parameters(), tags }),
  make("rds.SubnetGroup", "databases", { subnetIds: PRIVATE, tags }),
  make("rds.EventSubscription", "events", {
    ...{ sourceType: "db-instance", eventCategories: ["maintenance", "configuration change", "failure"], sourceIds: ["main-1"], tags },
  }),
  make("rds.EventSubscription", "parameter-events", {
    ...{ sourceType: "db-parameter-group", eventCategories: ["configuration change"], sourceIds: ["pg17"], tags },
  }),
  make("rds.Proxy", "proxy", { requireTls: true, tags }),
  make("elasticache.ReplicationGroup", "cache", cache, true),
  make("elasticache.SubnetGroup", "caches", { subnetIds: PRIVATE, tags }),
  make("elasticache.User", "user", { authenticationMode: { type: "password", passwords: ["p"] }, tags }),
  make("ec2.Vpc", "vpc", { tags }),
  make("ec2.FlowLog", "flow", { vpcId: "vpc-id", tags }),
  make("ec2.DefaultSecurityGroup", "default", { vpcId: "vpc-id" }),
  make("ec2.Subnet", "subnet", { mapPublicIpOnLaunch: false, tags }),
  make("ec2.Route", "out", { routeTableId: "public-table", destinationCidrBlock: "0.0.0.0/0", gatewayId: "igw" }),
  make("ec2.RouteTableAssociation", "out", { routeTableId: "public-table", subnetId: "public-a" }),
  make("ec2.SecurityGroup", "group", { description: "d", tags }),
  make("vpc.SecurityGroupIngressRule", "in", { ...described, referencedSecurityGroupId: "sg-2" }),
  make("vpc.SecurityGroupEgressRule", "web", { ...described, cidrIpv4: "0.0.0.0/0", fromPort: 443, toPort: 443 }),
  make("vpc.SecurityGroupEgressRule", "servers", {
    ...{ ...described, securityGroupId: "sg-1", referencedSecurityGroupId: "sg-1", fromPort: 5432, toPort: 5432 },
  }),
  make("ec2.VpcPeeringConnection", "peering", { autoAccept: false, tags }),
  make("route53.Zone", "zone", { vpcs: [{ vpcId: "vpc-id" }], tags }),
  make("ec2.LaunchTemplate", "template", template),
  make("autoscaling.Group", "hosts", {
    ...{ launchTemplate: { id: "template-id" }, vpcZoneIdentifiers: PRIVATE, healthCheckType: "ELB" },
    tags: [{ key: "project", value: "p", propagateAtLaunch: true }],
  }),
  make("lb.LoadBalancer", "door", balancer),
  make("ecr.Repository", "pooler", {
    ...{ name: "pooler", imageTagMutability: "IMMUTABLE", imageScanningConfiguration: { scanOnPush: true } },
    ...{ encryptionConfigurations: [{ encryptionType: "KMS", kmsKey: KEY }], tags },
  }),
  make("ecr.LifecyclePolicy", "pooler-images", { repository: "pooler" }),
  make("iam.Role", "role", { assumeRolePolicy: trusts({ Service: "lambda.amazonaws.com" }), tags }),
  make("iam.RolePolicy", "rights", {
    policy: document(readsSecret, { Effect: "Allow", Action: "cloudwatch:PutMetricData", Resource: "*" }),
  }),
  make("kms.Key", "key", { enableKeyRotation: true, deletionWindowInDays: 30, policy: document(rootMayAll), tags }, true),
  make("secretsmanager.Secret", "secret", { kmsKeyId: KEY, replicas: [{ kmsKeyId: KEY }], recoveryWindowInDays: 30, tags }, true),
  make("secretsmanager.SecretRotation", "rotation", { secretId: "secret-id" }),
  make("ssm.Parameter", "settings", { type: "SecureString", keyId: KEY, tags }),
  make("sns.Topic", "notices", { kmsMasterKeyId: KEY, tags }),
  make("sns.TopicPolicy", "senders", { policy: document({ ...alarmsSend, Condition: account }, tlsOnly) }),
  make("lambda.Function", "move", lambda),
  make("lambda.FunctionEventInvokeConfig", "events-of-move", {
    functionName: "move",
    maximumRetryAttempts: 0,
    maximumEventAgeInSeconds: 60,
  }),
  make("lambda.Permission", "calls", { principal: "events.amazonaws.com", sourceArn: "arn:aws:events:…" }),
  make("scheduler.Schedule", "every", { kmsKeyArn: KEY }),
  make("s3.Bucket", "files", { bucket: "files", tags }),
  make("s3.BucketPublicAccessBlock", "files-block", {
    ...{ bucket: "files-id", blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true },
  }),
  make("s3.BucketServerSideEncryptionConfiguration", "files-key", {
    ...{ bucket: "files", rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "aws:kms", kmsMasterKeyId: KEY } }] },
  }),
  make("s3.BucketVersioning", "files-versions", { bucket: "files", versioningConfiguration: { status: "Enabled" } }),
  make("s3.BucketPolicy", "files-tls", { bucket: "files", policy: document(tlsOnly) }),
  make("cloudwatch.LogGroup", "log", { kmsKeyId: KEY, retentionInDays: 365, tags }),
  make("cloudwatch.MetricAlarm", "alarm", alarm),
  make("backup.Vault", "vault", { kmsKeyArn: KEY, forceDestroy: false, tags }, true),
  make("backup.Plan", "plan", { rules: [{ lifecycle: { deleteAfter: 7 } }], tags }),
  make("backup.Selection", "selection", { resources: ["arn:aws:rds:us-east-1:1:db:main-1"] }),
  make("backup.RestoreTestingPlan", "restores", { scheduleExpression: "cron(0 15 ? * MON *)", tags }),
];
