/** ElastiCache. */
import { argument, at, isGiven, isTrue, list, publicSubnets } from "../read.ts";
import type { Rule } from "../types.ts";

const GROUP = "elasticache.ReplicationGroup";

export const CACHE: readonly Rule[] = [
  argument(
    "cache-backed-up",
    ["ElastiCache.1", "CKV_AWS_134"],
    GROUP,
    "snapshotRetentionLimit",
    "at least 1 day",
    (days) => Number(days) >= 1,
  ),
  argument("cache-minor-upgrades", ["ElastiCache.2", "CKV_AWS_322"], GROUP, "autoMinorVersionUpgrade", "true", isTrue),
  argument("cache-fails-over", ["ElastiCache.3", "CKV2_AWS_50"], GROUP, "automaticFailoverEnabled", "true", isTrue),
  argument("cache-multi-az", ["CKV2_AWS_50"], GROUP, "multiAzEnabled", "true", isTrue),
  argument("cache-encrypted", ["ElastiCache.4", "CKV_AWS_29"], GROUP, "atRestEncryptionEnabled", "true", isTrue),
  argument("cache-own-key", ["CKV_AWS_191"], GROUP, "kmsKeyId", "a key of the stack or the operator", isGiven),
  argument("cache-tls", ["ElastiCache.5", "CKV_AWS_30"], GROUP, "transitEncryptionEnabled", "true", isTrue),
  {
    id: "cache-authenticated",
    from: ["ElastiCache.6", "CKV_AWS_31"],
    on: [GROUP],
    want: "an auth token or a user group, and not both",
    check: ({ inputs: { authToken, userGroupIds } }) =>
      (authToken !== undefined) !== list(userGroupIds).length > 0
        ? []
        : [{ path: "authToken", got: authToken === undefined ? undefined : "both" }],
  },
  argument(
    "cache-users",
    ["ElastiCache.6"],
    "elasticache.User",
    "authenticationMode.type",
    "password or iam",
    (type, { inputs }) => (type === "password" || type === "iam") && !isTrue(inputs.noPasswordRequired),
  ),
  argument(
    "cache-subnet-group",
    ["ElastiCache.7", "CKV_AWS_323"],
    GROUP,
    "subnetGroupName",
    "a group of its own",
    (name) => isGiven(name) && name !== "default",
  ),
  argument(
    "cache-subnets",
    ["ElastiCache.7"],
    "elasticache.SubnetGroup",
    "subnetIds",
    "subnets in two zones or more, none with a way in from outside",
    (ids, _, all) => {
      const open = publicSubnets(all);
      return list(ids).length >= 2 && !list(ids).some((id) => open.has(id));
    },
  ),
  {
    id: "cache-cluster-mode",
    from: ["AWS: cluster mode cannot be taken back"],
    on: [GROUP],
    want: "numNodeGroups with cluster mode, and not numCacheClusters",
    check: ({ inputs }) =>
      at(inputs, "numNodeGroups") !== undefined && inputs.numCacheClusters === undefined
        ? []
        : [{ path: "numNodeGroups", got: inputs.numNodeGroups }],
  },
];
