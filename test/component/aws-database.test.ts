/**
 * What the AWS target asks of RDS at stages 1 to 3, under mocks: every argument with its value, the options that keep data, and where
 * replicas stand. Cannot prove that AWS takes it, nor what is replaced: test/engine/aws does the second. Nothing of it has run on AWS.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { ACCOUNT, left, type Made, ofType, runAws, runDatabase, the } from "./aws-mocks.ts";

const HOME = "us-east-1";
const AWAY = "eu-west-1";
const key = (region: string) => `arn:aws:kms:${region}:${ACCOUNT}:key-${region}`;
const instance = (made: readonly Made[], name: string) => the(made, "rds.Instance", name);
const sorted = (made: readonly Made[], type: string) =>
  ofType(made, type)
    .map(({ name }) => name)
    .sort();
const instances = (made: readonly Made[]) => sorted(made, "rds.Instance");
/** Names end in a hash of project, stack and part. */
const named = (part: string) => expect.stringMatching(new RegExp(`^pgladder-dev-${part}-[0-9a-f]{6}$`));
const tags = (part: string) => ({ project: "pgladder", stack: "dev", part, "managed-by": "pgladder" });

/** Arguments that every instance has, whatever it is. */
const common = (name: string, region: string) => ({
  identifier: named(name),
  storageType: "gp3",
  storageEncrypted: true,
  port: 5432,
  publiclyAccessible: false,
  vpcSecurityGroupIds: [`database-${region}-id`],
  parameterGroupName: named(`${name}-pg17`),
  caCertIdentifier: "rds-ca-rsa2048-g1",
  iamDatabaseAuthenticationEnabled: true,
  monitoringInterval: 60,
  monitoringRoleArn: `arn:aws:iam:${HOME}:${ACCOUNT}:database-monitoring`,
  performanceInsightsEnabled: true,
  performanceInsightsRetentionPeriod: 7,
  performanceInsightsKmsKeyId: key(region),
  databaseInsightsMode: "standard",
  enabledCloudwatchLogsExports: ["postgresql", "upgrade"],
  autoMinorVersionUpgrade: true,
  applyImmediately: true,
  copyTagsToSnapshot: true,
  deletionProtection: true,
  deleteAutomatedBackups: false,
  tags: tags(name),
});

const primary = {
  ...common("main-1", HOME),
  engine: "postgres",
  engineVersion: "17",
  allowMajorVersionUpgrade: true,
  dbName: "app",
  username: "ladder_admin",
  password: "secret-password-ladder_admin",
  kmsKeyId: key(HOME),
  dbSubnetGroupName: named(`database-${HOME}`),
  backupRetentionPeriod: 7,
  backupWindow: "03:00-04:00",
  maintenanceWindow: "sun:05:00-sun:06:00",
  skipFinalSnapshot: false,
  finalSnapshotIdentifier: expect.stringMatching(/^pgladder-dev-main-1-[0-9a-f]{6}-final-0a1b2c3d$/),
};

const replica = (name: string) => ({
  ...common(name, HOME),
  replicateSourceDb: named("main-1"),
  multiAz: false,
  backupRetentionPeriod: 0,
  maintenanceWindow: "sat:05:00-sat:06:00",
  skipFinalSnapshot: true,
});

const small = { instanceClass: "db.t4g.medium", allocatedStorage: 50, maxAllocatedStorage: 100 };
const medium = { instanceClass: "db.m7g.xlarge", allocatedStorage: 200, maxAllocatedStorage: 400 };
const large = {
  instanceClass: "db.r7g.2xlarge",
  allocatedStorage: 2_000,
  maxAllocatedStorage: 4_000,
  iops: 12_000,
  storageThroughput: 500,
};

const guarded = { protect: true, retainOnDelete: false, customTimeouts: { create: "3h", update: "3h", delete: "2h" }, parent: "database" };

describe("stage 1", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws({ stage: 1 });
  });

  test("is one instance in one zone, with exactly these arguments", () => {
    expect(instances(made)).toEqual(["main-1"]);
    expect(instance(made, "main-1").args).toEqual({ ...primary, ...small, multiAz: false });
    expect(instance(made, "main-1")).toMatchObject({ ...guarded, ignoreChanges: [] });
  });

  test("the master's password is a secret, and nothing else of the instance is", () => {
    expect(instance(made, "main-1").secret).toEqual(["password"]);
  });

  test("the subnet group spans the three private subnets", () => {
    expect(the(made, "rds.SubnetGroup", `database-${HOME}`).args.subnetIds).toEqual([1, 2, 3].map((n) => `private-${n}-${HOME}-id`));
  });

  test("the parameter group is of the version's family, with RDS' units, and static parameters wait for a restart", () => {
    const { args } = the(made, "rds.ParameterGroup", "main-1-pg17");
    expect(args).toMatchObject({ name: named("main-1-pg17"), family: "postgres17", tags: tags("main-1-pg17") });
    const parameters = args.parameters as { name: string; value: string; applyMethod: string }[];
    const of = (name: string) => parameters.find((each) => each.name === name);
    expect(of("rds.force_ssl")).toEqual({ name: "rds.force_ssl", value: "1", applyMethod: "immediate" });
    expect(of("rds.logical_replication")).toEqual({ name: "rds.logical_replication", value: "1", applyMethod: "pending-reboot" });
    expect(of("shared_preload_libraries")).toEqual({
      name: "shared_preload_libraries",
      value: "pg_stat_statements,pg_cron,pgaudit",
      applyMethod: "pending-reboot",
    });
    expect(of("cron.database_name")?.value).toBe("app");
    expect(parameters.map(({ name }) => name)).toEqual(parameters.map(({ name }) => name).sort());
    // RDS keeps these to itself.
    for (const name of ["wal_level", "ssl", "listen_addresses", "archive_command"]) expect(of(name)).toBeUndefined();
  });

  test("log groups are made before RDS makes them, with a key and an end", () => {
    const { identifier } = instance(made, "main-1").args;
    for (const log of ["postgresql", "upgrade"])
      expect(the(made, "cloudwatch.LogGroup", `main-1-${log}`).args).toEqual({
        name: `/aws/rds/instance/${identifier}/${log}`,
        retentionInDays: 365,
        kmsKeyId: key(HOME),
        tags: tags(`main-1-${log}`),
      });
  });

  test("the monitoring role may do what AWS' own policy for it says", () => {
    const { args } = the(made, "iam.Role", "database-monitoring");
    expect(JSON.parse(args.assumeRolePolicy as string).Statement[0].Principal).toEqual({ Service: "monitoring.rds.amazonaws.com" });
    expect(the(made, "iam.RolePolicyAttachment", "database-monitoring").args).toEqual({
      role: args.name,
      policyArn: "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
    });
  });
});

describe("stage 2", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws({ stage: 2 });
  });

  test("is a Multi-AZ primary and a replica in another zone, which never moves after it", () => {
    expect(instances(made)).toEqual(["main-1", "main-2"]);
    expect(instance(made, "main-1").args).toEqual({ ...primary, ...medium, multiAz: true });
    // The mocked primary is in zone-b.
    expect(instance(made, "main-2").args).toEqual({ ...replica("main-2"), ...medium, availabilityZone: "zone-a" });
    expect(instance(made, "main-2")).toMatchObject({ ...guarded, ignoreChanges: ["availabilityZone"], secret: [] });
  });

  test("the primary's zone is RDS' to choose: naming one goes with neither Multi-AZ nor a later change to it", () => {
    expect(instance(made, "main-1").args).not.toHaveProperty("availabilityZone");
  });
});

describe("stage 3 in two regions", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws({ stage: 3, replicaRegions: [AWAY] });
  });

  test("is a primary, two replicas in the two other zones, and a standby in the other region", () => {
    expect(instances(made)).toEqual(["main-1", "main-2", "main-3", `main-${AWAY}-1`]);
    expect(instance(made, "main-1").args).toEqual({ ...primary, ...large, multiAz: true });
    expect(instance(made, "main-2").args).toEqual({ ...replica("main-2"), ...large, availabilityZone: "zone-a" });
    expect(instance(made, "main-3").args).toEqual({ ...replica("main-3"), ...large, availabilityZone: "zone-c" });
  });

  test("the standby has its own key, subnets, parameters and backups, and follows by ARN", () => {
    const standby = instance(made, `main-${AWAY}-1`);
    expect(standby.args).toEqual({
      ...common(`main-${AWAY}-1`, AWAY),
      ...large,
      replicateSourceDb: `arn:aws:rds:${HOME}:${ACCOUNT}:db:${instance(made, "main-1").args.identifier}`,
      kmsKeyId: key(AWAY),
      dbSubnetGroupName: named(`database-${AWAY}`),
      multiAz: false,
      backupRetentionPeriod: 7,
      backupWindow: "03:00-04:00",
      maintenanceWindow: "sat:05:00-sat:06:00",
      skipFinalSnapshot: true,
    });
    expect(standby).toMatchObject({ ...guarded, provider: `aws-${AWAY}` });
    expect(the(made, "rds.ParameterGroup", `main-${AWAY}-1-pg17`).provider).toBe(`aws-${AWAY}`);
    expect(the(made, "rds.SubnetGroup", `database-${AWAY}`).args.subnetIds).toEqual([1, 2, 3].map((n) => `private-${n}-${AWAY}-id`));
  });

  test("no replica or standby has what only a primary may be given", () => {
    for (const name of ["main-2", "main-3", `main-${AWAY}-1`])
      for (const argument of ["password", "username", "dbName", "engine", "engineVersion", "manageMasterUserPassword"])
        expect(instance(made, name).args).not.toHaveProperty(argument);
    for (const name of ["main-2", "main-3"])
      for (const argument of ["kmsKeyId", "dbSubnetGroupName"]) expect(instance(made, name).args).not.toHaveProperty(argument);
  });

  test("no follower is set lower than the primary where PostgreSQL refuses that", () => {
    const value = (node: string, name: string) =>
      Number(
        (the(made, "rds.ParameterGroup", `${node}-pg17`).args.parameters as { name: string; value: string }[]).find((p) => p.name === name)
          ?.value,
      );
    for (const name of ["max_connections", "max_worker_processes", "max_wal_senders", "max_locks_per_transaction"])
      for (const node of ["main-2", "main-3", `main-${AWAY}-1`]) expect(value(node, name)).toBeGreaterThanOrEqual(value("main-1", name));
  });
});

describe("overrides", () => {
  test.each([
    [399, undefined, undefined, 798],
    [400, 12_000, 500, 800],
    [40_000, 12_000, 500, 65_536],
    [65_000, 12_000, 500, undefined],
  ])("%i GiB: %s IOPS, %s MiB/s, grows by itself to %s", async (storage, iops, storageThroughput, maxAllocatedStorage) => {
    const { args } = instance(await runDatabase({ stage: 1, primary: { storage } }), "main-1");
    expect([args.allocatedStorage, args.iops, args.storageThroughput, args.maxAllocatedStorage]).toEqual([
      storage,
      iops,
      storageThroughput,
      maxAllocatedStorage,
    ]);
  });

  test("less than RDS can make is refused", async () => {
    await expect(runDatabase({ stage: 1, primary: { storage: 10 } })).rejects.toThrow(
      "main-1.storage: got 10, want at least 20 GiB on RDS",
    );
  });

  test("class, database and retention are the operator's", async () => {
    const made = await runDatabase({
      stage: 1,
      primary: { class: "db.r8g.large" },
      database: "shop",
      backup: { retentionDays: 35 },
    });
    expect(instance(made, "main-1").args).toMatchObject({
      instanceClass: "db.r8g.large",
      dbName: "shop",
      backupRetentionPeriod: 35,
    });
  });

  test("without protect nothing is protected, and a stack can be ended; the last snapshot is still taken", async () => {
    const made = await runAws({ stage: 2, protect: false });
    expect(made.filter(({ protect }) => protect)).toEqual([]);
    expect(instance(made, "main-1").args).toMatchObject({
      deletionProtection: false,
      deleteAutomatedBackups: true,
      skipFinalSnapshot: false,
    });
    for (const { args } of ofType(made, "secretsmanager.Secret")) expect(args.recoveryWindowInDays).toBe(0);
  });
});

describe("what the last run left", () => {
  test("a major upgrade keeps the old version's group until the next run", async () => {
    const last = left({ stage: 1 })!;
    const groups = (made: readonly Made[]) => sorted(made, "rds.ParameterGroup");
    const during = await runDatabase({ stage: 1 }, { last: { ...last, postgresVersion: 16 } });
    expect(groups(during)).toEqual(["main-1-pg16", "main-1-pg17"]);
    expect(the(during, "rds.ParameterGroup", "main-1-pg16").args.family).toBe("postgres16");
    expect(instance(during, "main-1").args).toMatchObject({ engineVersion: "17", parameterGroupName: named("main-1-pg17") });
    expect(groups(await runDatabase({ stage: 1 }, { last }))).toEqual(["main-1-pg17"]);
  });

  test("a volume never shrinks on the way back to a lower stage, and replicas are held", async () => {
    const made = await runDatabase({ stage: 1 }, { last: left({ stage: 2 }) });
    expect(instances(made)).toEqual(["main-1", "main-2"]);
    expect(instance(made, "main-1").args.allocatedStorage).toBe(200);
    expect(instance(made, "main-2")).toMatchObject({ protect: true, args: { deletionProtection: true, instanceClass: "db.m7g.xlarge" } });
  });

  test("a region that was taken out stays with everything in it until it is let go, and goes in two steps", async () => {
    const two = { stage: 3, replicaRegions: [AWAY] };
    const one = { stage: 3 };
    const release = { ...one, release: true };
    const standby = (made: readonly Made[]) => ofType(made, "rds.Instance").find(({ name }) => name === `main-${AWAY}-1`);
    const awayKey = (made: readonly Made[]) => ofType(made, "kms.Key").find(({ name }) => name === `key-${AWAY}`);

    const held = await runDatabase(one, { last: left(two) });
    expect(standby(held)).toMatchObject({ protect: true, args: { deletionProtection: true } });
    expect(awayKey(held)).toMatchObject({ protect: true });

    const letGo = await runDatabase(release, { last: left(two, one) });
    expect(standby(letGo)).toMatchObject({ protect: false, args: { deletionProtection: false } });
    expect(awayKey(letGo)).toMatchObject({ protect: false });
    expect(the(letGo, "kms.Key", `key-${HOME}`).protect).toBe(true);

    const gone = await runDatabase(release, { last: left(two, one, release) });
    expect(gone.filter(({ name }) => name.includes(AWAY))).toEqual([]);
    expect(instances(gone)).toEqual(["main-1", "main-2", "main-3"]);
  });
});
