/** EC2 hosts, their load balancer and their image. */
import { argument, at, companion, isGiven, isTrue, list, looksSecret, publicSubnets } from "../read.ts";
import type { Rule } from "../types.ts";

const TEMPLATE = "ec2.LaunchTemplate";
const GROUP = "autoscaling.Group";
const BALANCER = "lb.LoadBalancer";
const REPOSITORY = "ecr.Repository";

const inPrivate =
  (path: string): Rule["check"] =>
  ({ inputs }, all) => {
    const open = publicSubnets(all);
    return list(at(inputs, path))
      .filter((id) => open.has(id))
      .map((got) => ({ path, got }));
  };

export const HOSTS: readonly Rule[] = [
  argument(
    "host-imdsv2",
    ["EC2.8", "EC2.170", "CKV_AWS_79", "CIS AWS 5.6"],
    TEMPLATE,
    "metadataOptions.httpTokens",
    "required",
    (value) => value === "required",
  ),
  argument("host-metadata-hops", ["CKV_AWS_341"], TEMPLATE, "metadataOptions.httpPutResponseHopLimit", "1", (hops) => Number(hops) === 1),
  {
    id: "host-no-public-address",
    from: ["EC2.25", "EC2.9", "AutoScaling.5", "CKV_AWS_88"],
    on: [TEMPLATE],
    want: "no public address",
    check: ({ inputs }) =>
      list(inputs.networkInterfaces)
        .map((each) => at(each, "associatePublicIpAddress"))
        .filter(isTrue)
        .map((got) => ({ path: "networkInterfaces.associatePublicIpAddress", got })),
  },
  argument(
    "host-encrypted",
    ["EC2.3", "EC2.7", "CKV_AWS_8", "CIS AWS 2.2.1"],
    TEMPLATE,
    "blockDeviceMappings",
    "volumes that are encrypted",
    (volumes) => list(volumes).length > 0 && list(volumes).every((volume) => isTrue(at(volume, "ebs.encrypted"))),
  ),
  argument(
    "host-no-secret",
    ["CKV_AWS_46"],
    TEMPLATE,
    "userData",
    "no secret",
    (data) => typeof data !== "string" || ![data, Buffer.from(data, "base64").toString()].some(looksSecret),
  ),
  argument(
    "group-launch-template",
    ["AutoScaling.9", "CKV_AWS_315"],
    GROUP,
    "launchTemplate",
    "a launch template",
    (template, { inputs }) => template !== undefined || inputs.mixedInstancesPolicy !== undefined,
  ),
  argument("group-zones", ["AutoScaling.2"], GROUP, "vpcZoneIdentifiers", "subnets in two zones or more", (ids) => list(ids).length >= 2),
  { id: "group-private", from: ["EC2.9"], on: [GROUP], want: "private subnets", check: inPrivate("vpcZoneIdentifiers") },
  argument("group-health", ["AutoScaling.1"], GROUP, "healthCheckType", "ELB", (type) => type === "ELB"),
  argument("group-tags", ["CKV_AWS_153"], GROUP, "tags", "tags", (tags) => list(tags).length > 0),
  argument("host-tags", ["CKV_AWS_153"], TEMPLATE, "tagSpecifications", "tags of hosts and of their volumes", (specifications) =>
    ["instance", "volume"].every((kind) => list(specifications).some((each) => at(each, "resourceType") === kind)),
  ),
  argument("balancer-deletion-protected", ["ELB.6", "CKV_AWS_150"], BALANCER, "enableDeletionProtection", "true", isTrue),
  argument("balancer-internal", ["EC2.18"], BALANCER, "internal", "true", isTrue),
  argument("balancer-security-group", ["AWS: only at its creation"], BALANCER, "securityGroups", "a security group", (groups) =>
    list(groups).some(isGiven),
  ),
  argument(
    "balancer-zones",
    ["ELB.13"],
    BALANCER,
    "subnets",
    "subnets in two zones or more",
    (ids, { inputs }) => list(ids ?? inputs.subnetMappings).length >= 2,
  ),
  { id: "balancer-private", from: ["EC2.18"], on: [BALANCER], want: "private subnets", check: inPrivate("subnets") },
  argument("balancer-cross-zone", ["CKV_AWS_152"], BALANCER, "enableCrossZoneLoadBalancing", "true", isTrue),
  argument(
    "balancer-name",
    ["AWS: 32 characters"],
    BALANCER,
    "name",
    "at most 32 characters",
    (name) => isGiven(name) && String(name).length <= 32,
  ),
  argument("balancer-logs", ["ELB.5", "CKV_AWS_91"], BALANCER, "accessLogs.enabled", "true", isTrue),
  argument("image-immutable", ["ECR.2", "CKV_AWS_51"], REPOSITORY, "imageTagMutability", "IMMUTABLE", (value) => value === "IMMUTABLE"),
  argument("image-scanned", ["ECR.1", "CKV_AWS_163"], REPOSITORY, "imageScanningConfiguration.scanOnPush", "true", isTrue),
  argument("image-key", ["ECR.5", "CKV_AWS_136"], REPOSITORY, "encryptionConfigurations", "a key of the stack or the operator", (all) =>
    list(all).some((each) => at(each, "encryptionType") === "KMS" && isGiven(at(each, "kmsKey"))),
  ),
  companion(
    "image-lifecycle",
    ["ECR.3"],
    REPOSITORY,
    "ecr.LifecyclePolicy",
    "a lifecycle policy",
    (policy, { inputs }) => policy.inputs.repository === inputs.name,
  ),
];
