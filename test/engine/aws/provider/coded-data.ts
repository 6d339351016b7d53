/** Rules of RDS, ElastiCache, Backup, KMS, Secrets Manager and SNS. */

import { textOf, type Value } from "../../../../offline/bridge/values.ts";
import parameters from "../parameters.json" with { type: "json" };
import type { Book, Thing } from "./account.ts";
import {
  amount,
  blocks,
  type CodedRules,
  check,
  count,
  create,
  given,
  is,
  isNot,
  isSchedule,
  known,
  type Look,
  remove,
  update,
  words,
  write,
} from "./coded.ts";
import { daily, weekly } from "./formats.ts";
import { subnetsOf } from "./references.ts";

const INSTANCE = "aws:rds/instance:Instance";

const sourceOf = ({ book, region, wanted }: Look): Thing | undefined => {
  const source = textOf(wanted.replicateSourceDb);
  return book.things.find(
    (thing) => thing.type === INSTANCE && (thing.state.arn === source || (thing.region === region && thing.state.identifier === source)),
  );
};
const isReplica = given;
const sources = ["replicateSourceDb", "snapshotIdentifier", "restoreToPointInTime"] as const;
const major = (version: Value | undefined) => known(version)?.split(".")[0];
const named = (book: Book, type: string, region: string, name: Value | undefined) =>
  book.things.find((thing) => thing.type === type && thing.region === region && thing.state.name === name);
const zones = (book: Book, subnetIds: Value | undefined) =>
  new Set(subnetsOf(book, subnetIds).map(({ state }) => state.availabilityZone)).size;
const RULED = parameters as Readonly<Record<string, { static: boolean; modifiable: boolean; verified?: false }>>;

function windowsOverlap(backup: Value | undefined, maintenance: Value | undefined): boolean {
  const [first, second] = [known(backup), known(maintenance)];
  if (!first || !second) return false;
  const [dayFrom, dayLength] = daily(first);
  const [weekFrom, weekLength] = weekly(second);
  return Array.from({ length: 8 }, (_, day) => day * 1_440 + dayFrom).some((from) =>
    [0, 10_080].some((shift) => from < weekFrom + shift + weekLength && weekFrom + shift < from + dayLength),
  );
}

export const DATA: CodedRules = {
  [INSTANCE]: {
    "multi-az-no-az": check((w) => is(w.multiAz, true) && given(w.availabilityZone)),
    "bluegreen-no-replica": check((w) => blocks(w.blueGreenUpdate).some((b) => is(b.enabled, true)) && isReplica(w.replicateSourceDb)),
    "replica-arn-with-subnet-group": check((w) => {
      const source = known(w.replicateSourceDb);
      return source !== undefined && source !== "" && !source.startsWith("arn:") && given(w.dbSubnetGroupName);
    }),
    "replica-managed-password": check((w) => is(w.manageMasterUserPassword, true) && isReplica(w.replicateSourceDb)),
    "replica-cross-region-arn": create((look) => isReplica(look.wanted.replicateSourceDb) && sourceOf(look) === undefined),
    "replica-cross-region-kms": create((look) => {
      const source = sourceOf(look);
      return source?.state.storageEncrypted === true && source.region !== look.region && !given(look.wanted.kmsKeyId);
    }),
    "replica-source-backups": create((look) => {
      const source = sourceOf(look);
      return source !== undefined && !given(source.state.backupRetentionPeriod);
    }),
    "replica-unencrypted-source": create((look) => {
      const source = sourceOf(look);
      return source !== undefined && source.state.storageEncrypted !== true && count(look.wanted, "kmsKeyId", "storageEncrypted") > 0;
    }),
    "replica-limit": create((look) => {
      const source = sourceOf(look);
      if (source === undefined) return false;
      const at = [source.state.arn, source.state.identifier];
      return look.book.things.filter(({ type, state }) => type === INSTANCE && at.includes(state.replicateSourceDb ?? "")).length >= 15;
    }),
    "source-backups-stay": update(
      ({ wanted, before }) => is(wanted.backupRetentionPeriod, 0) && Array.isArray(before.replicas) && before.replicas.length > 0,
    ),
    "replica-retarget": update(
      ({ wanted, before }) =>
        given(before.replicateSourceDb) &&
        known(wanted.replicateSourceDb) !== undefined &&
        wanted.replicateSourceDb !== before.replicateSourceDb,
    ),
    "replica-no-final-snapshot": remove(
      ({ before }) => isReplica(before.replicateSourceDb) && !is(before.skipFinalSnapshot ?? false, true),
    ),
    "create-required": check((w) => count(w, ...sources) === 0 && count(w, "allocatedStorage", "engine", "username") < 3),
    "create-needs-password": check(
      (w) => count(w, ...sources) === 0 && count(w, "password", "passwordWo", "manageMasterUserPassword") === 0,
      true,
    ),
    "final-snapshot": remove(
      ({ before }) =>
        !isReplica(before.replicateSourceDb) && !is(before.skipFinalSnapshot ?? false, true) && !given(before.finalSnapshotIdentifier),
    ),
    "deletion-protection": remove(({ before }) => is(before.deletionProtection ?? false, true)),
    "gp3-below-400": check(
      (w) => is(w.storageType ?? "", "gp3") && amount(w.allocatedStorage) < 400 && count(w, "iops", "storageThroughput") > 0,
    ),
    "gp3-from-400": check(
      (w) =>
        is(w.storageType ?? "", "gp3") &&
        amount(w.allocatedStorage) >= 400 &&
        (amount(w.iops) < 12_000 || amount(w.iops) > 64_000 || amount(w.storageThroughput) < 500 || amount(w.storageThroughput) > 4_000),
    ),
    "gp3-ratios": check(
      (w) =>
        is(w.storageType ?? "", "gp3") &&
        (amount(w.storageThroughput) > amount(w.iops) * 0.25 || amount(w.iops) > amount(w.allocatedStorage) * 500),
    ),
    "iops-needs-type": check(
      (w) =>
        (given(w.iops) && ["gp2", "standard"].includes(known(w.storageType) ?? "")) ||
        (given(w.storageThroughput) && isNot(w.storageType, "gp3")),
    ),
    "io-iops-required": check((w) => ["io1", "io2"].includes(known(w.storageType) ?? "") && !given(w.iops)),
    "storage-size-postgres": check((w) => {
      const [least, most] = { io1: [100, 65_536], io2: [100, 65_536], standard: [5, 3_072] }[known(w.storageType) ?? ""] ?? [20, 65_536];
      return amount(w.allocatedStorage) < least! || amount(w.allocatedStorage) > most!;
    }),
    "storage-never-shrinks": update(({ wanted, before }) => amount(wanted.allocatedStorage) < amount(before.allocatedStorage)),
    "storage-step": update(
      ({ wanted, before }) =>
        amount(wanted.allocatedStorage) > amount(before.allocatedStorage) &&
        amount(wanted.allocatedStorage) < amount(before.allocatedStorage) * 1.1,
    ),
    "autoscaling-limit": check(
      (w) => amount(w.maxAllocatedStorage) > 0 && amount(w.maxAllocatedStorage) < amount(w.allocatedStorage) * 1.1,
    ),
    "dlv-needs-piops": check((w) => is(w.dedicatedLogVolume ?? false, true) && !["io1", "io2"].includes(known(w.storageType) ?? "")),
    "monitoring-role": check((w) => given(w.monitoringInterval) !== given(w.monitoringRoleArn)),
    "pi-settings": check(
      (w) =>
        isNot(w.performanceInsightsEnabled ?? false, true) &&
        count(w, "performanceInsightsKmsKeyId", "performanceInsightsRetentionPeriod") > 0,
    ),
    "insights-advanced": check(
      (w) =>
        is(w.databaseInsightsMode ?? "", "advanced") &&
        (isNot(w.performanceInsightsEnabled ?? false, true) || !(amount(w.performanceInsightsRetentionPeriod) >= 465)),
      true,
    ),
    "windows-overlap": check((w) => windowsOverlap(w.backupWindow, w.maintenanceWindow)),
    "kms-needs-encryption": check((w) => given(w.kmsKeyId) && !given(w.storageEncrypted) && !isReplica(w.replicateSourceDb), true),
    "managed-secret-kms": check((w) => given(w.masterUserSecretKmsKeyId) && isNot(w.manageMasterUserPassword ?? false, true)),
    "logs-postgres": check((w) =>
      words(w.enabledCloudwatchLogsExports).some((log) => !["postgresql", "upgrade", "iam-db-auth-error"].includes(log)),
    ),
    "parameter-group-family": write(({ wanted, before, book, region }) => {
      const family = named(book, "aws:rds/parameterGroup:ParameterGroup", region, wanted.parameterGroupName)?.state.family;
      const version = major(wanted.engineVersion) ?? major(before.engineVersion);
      return typeof family === "string" && version !== undefined && family !== `postgres${version}`;
    }),
    "major-upgrade-flag": update(({ wanted, before }) => {
      const [from, to] = [major(before.engineVersion), major(wanted.engineVersion)];
      return from !== undefined && to !== undefined && from !== to && !is(wanted.allowMajorVersionUpgrade ?? false, true);
    }),
  },
  "aws:rds/parameterGroup:ParameterGroup": {
    "static-needs-reboot": check((w) =>
      blocks(w.parameters).some((p) => RULED[textOf(p.name)]?.static === true && isNot(p.applyMethod ?? "immediate", "pending-reboot")),
    ),
    "unknown-parameter": check((w) => blocks(w.parameters).some((p) => known(p.name) !== undefined && RULED[textOf(p.name)] === undefined)),
    "not-modifiable": check((w) =>
      blocks(w.parameters).some((p) => RULED[textOf(p.name)]?.modifiable === false && RULED[textOf(p.name)]?.verified !== false),
    ),
    "duplicate-name": check((w) => new Set(blocks(w.parameters).map(({ name }) => name)).size < blocks(w.parameters).length, true),
  },
  "aws:rds/subnetGroup:SubnetGroup": {
    "two-azs": write(({ wanted, book }) => zones(book, wanted.subnetIds) < 2),
    "name-not-default": check((w) => known(w.name)?.toLowerCase() === "default"),
  },
  "aws:rds/eventSubscription:EventSubscription": { "no-fifo-topic": check((w) => known(w.snsTopic)?.endsWith(".fifo") ?? false) },
  "aws:rds/proxy:Proxy": {
    "auth-required": check((w) => !given(w.auths) && isNot(w.defaultAuthScheme ?? "", "IAM_AUTH")),
    "subnets-two-azs": write(({ wanted, book }) => zones(book, wanted.vpcSubnetIds) < 2, true),
  },
  "aws:elasticache/replicationGroup:ReplicationGroup": {
    "multi-az-needs-failover": check((w) => is(w.multiAzEnabled ?? false, true) && !is(w.automaticFailoverEnabled ?? false, true)),
    "failover-needs-two": check((w) => is(w.automaticFailoverEnabled ?? false, true) && amount(w.numCacheClusters) < 2),
    "failover-needs-two-total": check(
      (w) =>
        is(w.automaticFailoverEnabled ?? false, true) && count(w, "numCacheClusters", "numNodeGroups", "nodeGroupConfigurations") === 0,
    ),
    "node-type-required": check((w) => count(w, "nodeType", "globalReplicationGroupId") === 0),
    "cluster-mode-failover": check(
      (w) => (amount(w.numNodeGroups) > 1 || is(w.clusterMode ?? "", "enabled")) && isNot(w.automaticFailoverEnabled ?? false, true),
    ),
    "cluster-mode-step": update(({ wanted, before }) => before.clusterMode === "disabled" && is(wanted.clusterMode ?? "", "enabled")),
    "auth-token-needs-tls": check((w) => count(w, "authToken", "authTokenWo") > 0 && isNot(w.transitEncryptionEnabled ?? false, true)),
    "auth-strategy": check((w) => given(w.authTokenUpdateStrategy) && is(w.authTokenUpdateStrategy ?? "", "DELETE") === given(w.authToken)),
    "one-user-group": check((w) => words(w.userGroupIds).length > 1),
    "tls-subnet-group": check((w) => is(w.transitEncryptionEnabled ?? false, true) && !given(w.subnetGroupName)),
    "engine-to-valkey": update(
      ({ wanted, before }) =>
        before.engine === "redis" && is(wanted.engine ?? "", "valkey") && wanted.engineVersion === before.engineVersion,
    ),
    "kms-needs-at-rest": check((w) => given(w.kmsKeyId) && is(w.atRestEncryptionEnabled ?? true, false)),
    "data-tiering": check((w) => (known(w.nodeType)?.includes("r6gd") ?? false) !== is(w.dataTieringEnabled ?? false, true)),
    "parameter-group-family": write(({ wanted, book, region }) => {
      const name = textOf(wanted.parameterGroupName);
      const family = textOf(named(book, "aws:elasticache/parameterGroup:ParameterGroup", region, name)?.state.family);
      const engine = `${textOf(wanted.engine)}${major(wanted.engineVersion) ?? ""}`;
      return (family || name.replace("default.", "")).split(".")[0] !== engine && name !== "" && /\d$/.test(engine);
    }, true),
  },
  "aws:backup/plan:Plan": {
    "cold-storage-90": check((w) =>
      blocks(w.rules).some((r) => blocks(r.lifecycle).some((l) => amount(l.deleteAfter) < amount(l.coldStorageAfter) + 90)),
    ),
    "continuous-35": check(
      (w) =>
        blocks(w.rules).some(
          (r) =>
            is(r.enableContinuousBackup ?? false, true) &&
            !blocks(r.lifecycle).some((l) => amount(l.deleteAfter) <= 35 && !given(l.coldStorageAfter)),
        ),
      true,
    ),
    "start-window-60": check((w) => blocks(w.rules).some((r) => amount(r.startWindow) < 60)),
    "completion-after-start": check((w) => blocks(w.rules).some((r) => amount(r.completionWindow) < amount(r.startWindow) + 60), true),
    "schedule-cron": check((w) => blocks(w.rules).some((r) => given(r.schedule) && !isSchedule(r.schedule, ["cron"]))),
  },
  "aws:backup/selection:Selection": {
    "something-selected": check((w) => count(w, "resources", "selectionTags", "conditions") === 0, true),
    "condition-keys": check((w) =>
      blocks(w.conditions).some((c) =>
        Object.values(c).some((kind) => blocks(kind).some((one) => known(one.key)?.startsWith("aws:ResourceTag/") === false)),
      ),
    ),
  },
  "aws:backup/restoreTestingPlan:RestoreTestingPlan": {
    "name-underscore": check((w) => !/^\w{1,50}$/.test(known(w.name) ?? "x"), true),
    cron: check((w) => !isSchedule(w.scheduleExpression, ["cron"])),
    "vaults-not-empty": check((w) => blocks(w.recoveryPointSelection).some((s) => !given(s.includeVaults)), true),
  },
  "aws:backup/restoreTestingSelection:RestoreTestingSelection": {
    "name-underscore": check((w) => !/^\w{1,50}$/.test(known(w.name) ?? "x"), true),
    "arns-or-conditions": check((w) => count(w, "protectedResourceArns", "protectedResourceConditions") !== 1),
    "star-or-arns": check((w) => words(w.protectedResourceArns).includes("*") && words(w.protectedResourceArns).length > 1),
  },
  "aws:kms/key:Key": {
    "rotation-symmetric": check(
      (w) => is(w.enableKeyRotation ?? false, true) && isNot(w.customerMasterKeySpec ?? "SYMMETRIC_DEFAULT", "SYMMETRIC_DEFAULT"),
    ),
    "rotation-period-needs-rotation": check((w) => given(w.rotationPeriodInDays) && !given(w.enableKeyRotation)),
  },
  "aws:kms/alias:Alias": {
    prefix: check((w) => known(w.name) !== undefined && !/^alias\/(?!aws\/)/.test(textOf(w.name)), true),
  },
  "aws:secretsmanager/secret:Secret": {
    "name-suffix": check((w) => /-[A-Za-z0-9]{6}$/.test(known(w.name) ?? "")),
    "replica-region": write(({ wanted, region }) => blocks(wanted.replicas).some((copy) => copy.region === region), true),
  },
  "aws:secretsmanager/secretVersion:SecretVersion": {
    "one-value": check((w) => count(w, "secretString", "secretBinary", "secretStringWo") !== 1),
    size: check((w) => (known(w.secretString)?.length ?? 0) > 65_536),
  },
  "aws:sns/topic:Topic": {
    "fifo-only": check(
      (w) => !is(w.fifoTopic ?? false, true) && count(w, "archivePolicy", "fifoThroughputScope", "contentBasedDeduplication") > 0,
    ),
  },
  "aws:sns/topicSubscription:TopicSubscription": {
    "scope-needs-policy": check((w) => given(w.filterPolicyScope) && !given(w.filterPolicy)),
    "firehose-role": check((w) => is(w.protocol ?? "", "firehose") && !given(w.subscriptionRoleArn)),
    "endpoint-by-protocol": check((w) => {
      const forms: Readonly<Record<string, RegExp>> = {
        email: /^[^@\s]+@[^@\s]+$/,
        https: /^https:\/\//,
        http: /^http:\/\//,
        lambda: /^arn:/,
        sqs: /^arn:/,
      };
      const [form, endpoint] = [forms[known(w.protocol) ?? ""], known(w.endpoint)];
      return form !== undefined && endpoint !== undefined && !form.test(endpoint);
    }),
  },
};
