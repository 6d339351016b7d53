/** Who may do what: IAM, keys, secrets, topics, functions, buckets. */
import {
  allows,
  argument,
  at,
  companion,
  deniesPlain,
  isGiven,
  isPublic,
  isTrue,
  list,
  looksSecret,
  policy,
  publicSubnets,
  type Statement,
} from "../read.ts";
import type { Kind, Rule } from "../types.ts";

const POLICIES = ["iam.RolePolicy", "iam.Policy"] as const satisfies readonly Kind[];
const FUNCTION = "lambda.Function";
const SECRET = "secretsmanager.Secret";

/** Actions that IAM cannot confine to a resource. */
const WITHOUT_RESOURCE = [
  ...["autoscaling:Describe*", "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances"],
  ...["cloudwatch:PutMetricData", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeInstances"],
  ...["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"],
  ...["ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"],
  ...["ecr:GetAuthorizationToken", "elasticloadbalancing:DescribeTargetHealth", "rds:DescribeDBInstances"],
  "secretsmanager:BatchGetSecretValue",
  ...["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel"],
  ...["ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"],
  ...["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
];

/** EventBridge says no account when it sends to a topic: under a condition its messages would never arrive. It may do that and no more. */
const SENDING = ["sns:Publish", "kms:Decrypt", "kms:GenerateDataKey*"];
const isEventBridge = ({ principals, actions }: Statement) =>
  principals.length > 0 &&
  principals.every((who) => who === "Service:events.amazonaws.com") &&
  actions.every((action) => SENDING.includes(action));

const environment = (inputs: unknown) => Object.values((at(inputs, "environment.variables") ?? {}) as Record<string, unknown>);

export const ACCESS: readonly Rule[] = [
  policy(
    "iam-no-administrator",
    ["IAM.1", "CKV_AWS_62", "CKV_AWS_63", "CIS AWS 1.16"],
    POLICIES,
    "policy",
    "actions by name",
    (each) => allows(each) && each.actions.includes("*"),
  ),
  policy(
    "iam-no-whole-service",
    ["IAM.21"],
    POLICIES,
    "policy",
    "actions by name",
    (each) => allows(each) && each.actions.some((action) => /^[^:]+:\*$/.test(action)),
  ),
  policy(
    "iam-resources",
    ["CKV_AWS_355", "CKV_AWS_288", "CKV_AWS_289", "CKV_AWS_290"],
    POLICIES,
    "policy",
    "resources by ARN, or a condition, for all but what IAM cannot confine",
    (each) =>
      allows(each) &&
      each.resources.includes("*") &&
      each.condition === undefined &&
      each.actions.some((action) => !WITHOUT_RESOURCE.includes(action)),
  ),
  policy(
    "iam-no-escalation",
    ["CKV_AWS_286"],
    POLICIES,
    "policy",
    "no way to give itself more",
    (each) =>
      allows(each) &&
      each.actions.some((action) => /^iam:(Attach|Put|Create|Update|Add)|^iam:PassRole$/.test(action) && each.resources.includes("*")),
  ),
  policy(
    "iam-trust",
    ["CKV_AWS_60", "CKV_AWS_61"],
    ["iam.Role"],
    "assumeRolePolicy",
    "services by name",
    (each) =>
      allows(each) && (isPublic(each) || each.principals.length === 0 || each.principals.some((who) => !who.startsWith("Service:"))),
  ),
  argument("kms-rotates", ["KMS.4", "CKV_AWS_7", "CIS AWS 3.6"], "kms.Key", "enableKeyRotation", "true", isTrue),
  argument("kms-window", ["KMS.3"], "kms.Key", "deletionWindowInDays", "30 days", (days) => Number(days) >= 30),
  argument("kms-has-policy", ["CKV2_AWS_64"], "kms.Key", "policy", "a policy of its own", isGiven),
  policy(
    "kms-policy",
    ["KMS.5", "CKV_AWS_33"],
    ["kms.Key"],
    "policy",
    "no key for everybody, and services but EventBridge under a condition",
    (each) =>
      allows(each) &&
      (isPublic(each) ||
        (each.principals.some((who) => who.startsWith("Service:")) && each.condition === undefined && !isEventBridge(each))),
  ),
  argument("secret-key", ["CKV_AWS_149"], SECRET, "kmsKeyId", "a key of the stack or the operator", isGiven),
  argument("secret-copies-key", ["CKV_AWS_149"], SECRET, "replicas", "copies with a key of their region", (copies) =>
    list(copies).every((copy) => isGiven(at(copy, "kmsKeyId"))),
  ),
  argument(
    "secret-comes-back",
    ["SecretsManager.3"],
    SECRET,
    "recoveryWindowInDays",
    "7 to 30 days",
    (days) => days === undefined || Number(days) >= 7,
  ),
  companion(
    "secret-rotates",
    ["SecretsManager.1", "SecretsManager.4", "CKV2_AWS_57"],
    SECRET,
    "secretsmanager.SecretRotation",
    "a rotation",
    (rotation, secret) => secret.id !== undefined && rotation.inputs.secretId === secret.id,
  ),
  argument(
    "parameter-key",
    ["CKV_AWS_337"],
    "ssm.Parameter",
    "keyId",
    "a SecureString with a key of the stack",
    (key, { inputs }) => isGiven(key) && inputs.type === "SecureString",
  ),
  argument("topic-key", ["SNS.1", "CKV_AWS_26"], "sns.Topic", "kmsMasterKeyId", "a key of the stack or the operator", isGiven),
  policy(
    "topic-policy",
    ["SNS.4", "CKV_AWS_169"],
    ["sns.TopicPolicy"],
    "policy",
    "senders by name and of this account, which EventBridge alone does not say",
    (each) => allows(each) && (isPublic(each) || (each.condition === undefined && !isEventBridge(each))),
  ),
  argument("topic-tls", ["CIS AWS 2.1.1"], "sns.TopicPolicy", "policy", "what does not come by TLS is denied", deniesPlain),
  argument(
    "function-in-vpc",
    ["Lambda.3", "CKV_AWS_117"],
    FUNCTION,
    "vpcConfig.subnetIds",
    "subnets in two zones or more, none with a way in from outside",
    (ids, _, all) => {
      const open = publicSubnets(all);
      return list(ids).length >= 2 && !list(ids).some((id) => open.has(id));
    },
  ),
  argument("function-security-group", ["Lambda.3"], FUNCTION, "vpcConfig.securityGroupIds", "a security group", (groups) =>
    list(groups).some(isGiven),
  ),
  argument("function-runtime", ["Lambda.2", "CKV_AWS_363"], FUNCTION, "runtime", "nodejs22.x or nodejs24.x", (runtime) =>
    /^nodejs2[24]\.x$/.test(String(runtime)),
  ),
  argument(
    "function-no-secret",
    ["CKV_AWS_45"],
    FUNCTION,
    "environment.variables",
    "no secret",
    (_, { inputs }) => !looksSecret(JSON.stringify(at(inputs, "environment.variables") ?? {})),
  ),
  argument(
    "function-environment-key",
    ["CKV_AWS_173"],
    FUNCTION,
    "kmsKeyArn",
    "a key of the stack or the operator",
    (key, { inputs }) => isGiven(key) || environment(inputs).length === 0,
  ),
  argument(
    "function-limited",
    ["CKV_AWS_115"],
    FUNCTION,
    "reservedConcurrentExecutions",
    "a limit of its own",
    (limit) => Number(limit) >= 1,
  ),
  argument("function-dead-letters", ["CKV_AWS_116"], FUNCTION, "deadLetterConfig.targetArn", "a place for what failed", isGiven),
  argument("function-traced", ["Lambda.7", "CKV_AWS_50"], FUNCTION, "tracingConfig.mode", "Active", (mode) => mode === "Active"),
  argument("function-signed", ["CKV_AWS_272"], FUNCTION, "codeSigningConfigArn", "signed code", isGiven),
  argument(
    "function-callers",
    ["Lambda.1", "CKV_AWS_364"],
    "lambda.Permission",
    "principal",
    "one service, for one source",
    (who, { inputs }) => isGiven(who) && who !== "*" && (isGiven(inputs.sourceArn) || isGiven(inputs.sourceAccount)),
  ),
  companion(
    "function-no-old-events",
    ["AWS: events that a busy function refuses come again for six hours"],
    FUNCTION,
    "lambda.FunctionEventInvokeConfig",
    "no event that is repeated, or older than a minute",
    ({ inputs: its }, { inputs }) =>
      its.functionName === inputs.name && its.maximumRetryAttempts === 0 && Number(its.maximumEventAgeInSeconds) <= 60,
  ),
  argument("schedule-key", ["CKV_AWS_297"], "scheduler.Schedule", "kmsKeyArn", "a key of the stack or the operator", isGiven),
  companion(
    "bucket-private",
    ["S3.1", "S3.8", "CKV_AWS_53", "CKV_AWS_56", "CIS AWS 2.1.4"],
    "s3.Bucket",
    "s3.BucketPublicAccessBlock",
    "all public access blocked",
    (block, bucket) =>
      of(block.inputs.bucket, bucket) &&
      ["blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"].every((each) => isTrue(block.inputs[each])),
  ),
  companion(
    "bucket-key",
    ["S3.17", "CKV_AWS_145"],
    "s3.Bucket",
    "s3.BucketServerSideEncryptionConfiguration",
    "encrypted with a key of the stack",
    (encryption, bucket) =>
      of(encryption.inputs.bucket, bucket) &&
      list(encryption.inputs.rules).some((rule) => isGiven(at(rule, "applyServerSideEncryptionByDefault.kmsMasterKeyId"))),
  ),
  companion(
    "bucket-versions",
    ["S3.14", "CKV_AWS_21"],
    "s3.Bucket",
    "s3.BucketVersioning",
    "versions kept",
    (versioning, bucket) => of(versioning.inputs.bucket, bucket) && at(versioning.inputs, "versioningConfiguration.status") === "Enabled",
  ),
  companion(
    "bucket-tls",
    ["S3.5", "CIS AWS 2.1.1"],
    "s3.Bucket",
    "s3.BucketPolicy",
    "what does not come by TLS is denied",
    (its, bucket) => of(its.inputs.bucket, bucket) && deniesPlain(its.inputs.policy),
  ),
];

/** A bucket's parts name it by its id or by its name. */
const of = (named: unknown, { id, inputs }: { id?: string; inputs: Readonly<Record<string, unknown>> }): boolean =>
  named !== undefined && (named === id || named === inputs.bucket);
