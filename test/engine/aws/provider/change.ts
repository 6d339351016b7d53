/** What a change means at AWS: replacement beyond the table, values that wait for the maintenance window, values that come anew. */
import type { Change } from "../../../../offline/bridge/diff.ts";
import { listOf, type Props, textOf, textsOf, UNKNOWN } from "../../../../offline/bridge/values.ts";

const RDS = "aws:rds/instance:Instance";
const CACHE = "aws:elasticache/replicationGroup:ReplicationGroup";

const versionOf = (text: string) => text.split(".").map(Number);
function isBelow(now: string, before: string): boolean {
  const [a, b] = [versionOf(now), versionOf(before)];
  const differs = a.findIndex((part, n) => part !== b[n]);
  return differs >= 0 && a[differs]! < (b[differs] ?? 0);
}

type Decides = (before: Props, wanted: Props) => boolean;

/** Changes of these properties replace only in some cases. */
const REPLACES: Readonly<Record<string, Readonly<Record<string, Decides>>>> = {
  [CACHE]: {
    engine: (before, wanted) => !(before.engine === "redis" && wanted.engine === "valkey"),
    engineVersion: (before, wanted) =>
      wanted.engineVersion !== UNKNOWN && isBelow(textOf(wanted.engineVersion), textOf(before.engineVersion)),
    nodeGroupConfigurations: () => true,
  },
  "aws:secretsmanager/secretVersion:SecretVersion": { secretString: () => true, secretStringWoVersion: () => true },
  "aws:ssm/parameter:Parameter": { tier: (before, wanted) => before.tier === "Advanced" && wanted.tier === "Standard" },
  "aws:lb/loadBalancer:LoadBalancer": {
    securityGroups: (before, wanted) =>
      wanted.loadBalancerType === "network" &&
      (listOf(before.securityGroups).length === 0) !== (listOf(wanted.securityGroups).length === 0),
    subnets: (before, wanted) =>
      wanted.loadBalancerType === "network" && textsOf(before.subnets).some((subnet) => !textsOf(wanted.subnets).includes(subnet)),
  },
  "aws:ec2/vpc:Vpc": {
    instanceTenancy: (before, wanted) => !(before.instanceTenancy === "dedicated" && wanted.instanceTenancy === "default"),
  },
};

/** The changes with the cases decided that the table leaves open. */
export function decided(type: string, changes: readonly Change[], before: Props, wanted: Props): Change[] {
  const cases = REPLACES[type] ?? {};
  const grown = type === RDS && Number(wanted.maxAllocatedStorage) > Number(wanted.allocatedStorage);
  return changes.flatMap((change) => {
    const { property } = change;
    if (grown && property === "allocatedStorage" && Number(before.allocatedStorage) > Number(wanted.allocatedStorage)) return [];
    const decides = cases[property];
    return [decides ? { ...change, replaces: decides(before, wanted) } : change];
  });
}

/** Without `applyImmediately`, AWS keeps the old value of these until the maintenance window. */
const WAITING: Readonly<Record<string, readonly string[]>> = {
  [RDS]: ["instanceClass", "engineVersion", "allocatedStorage", "multiAz", "storageType", "iops", "storageThroughput"],
  [CACHE]: ["nodeType", "engineVersion"],
};

/** The state right after an update. */
export function settled(type: string, before: Props, planned: Props): Props {
  const waiting = planned.applyImmediately === true ? [] : (WAITING[type] ?? []);
  const kept = Object.fromEntries(waiting.flatMap((property) => (before[property] === undefined ? [] : [[property, before[property]]])));
  if (type === "aws:ec2/launchTemplate:LaunchTemplate") return { ...planned, latestVersion: Number(before.latestVersion ?? 1) + 1 };
  return { ...planned, ...kept };
}

/** Outputs that an update makes anew, so that a preview cannot know them. */
const ANEW: Readonly<Record<string, readonly string[]>> = {
  "aws:ec2/launchTemplate:LaunchTemplate": ["latestVersion"],
  "aws:lambda/function:Function": ["lastModified"],
  "aws:lambda/invocation:Invocation": ["result"],
};

/** The state that a preview may show of an update. */
export const foreseen = (type: string, planned: Props): Props => ({
  ...planned,
  ...Object.fromEntries((ANEW[type] ?? []).map((property) => [property, UNKNOWN])),
});
