/**
 * Vaults, the backup plan and restore tests that the AWS target asks for, under mocks.
 * Cannot prove that a backup is made or can be restored: nothing of it has ever run on AWS.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { ACCOUNT, type Made, ofType, runAws, the } from "./aws-mocks.ts";

const HOME = "us-east-1";
const AWAY = "eu-west-1";
const arn = (service: string, region: string, name: string) => `arn:aws:${service}:${region}:${ACCOUNT}:${name}`;
const tags = (part: string) => ({ project: "pgladder", stack: "dev", part, "managed-by": "pgladder" });
const named = (part: string) => expect.stringMatching(new RegExp(`^pgladder-dev-${part}-[0-9a-f]{6}$`));
const ROLE = arn("iam", HOME, "backups");
const primary = (made: readonly Made[]) => `arn:aws:rds:${HOME}:${ACCOUNT}:db:${the(made, "rds.Instance", "main-1").args.identifier}`;
const rule = {
  ruleName: "daily",
  schedule: "cron(0 7 * * ? *)",
  startWindow: 60,
  completionWindow: 720,
  lifecycle: { deleteAfter: 7 },
  copyActions: [],
  recoveryPointTags: tags("backups"),
};

describe("stage 3 in two regions", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws({ stage: 3, replicaRegions: [AWAY], backup: { retentionDays: 14, restoreTest: "month" } });
  }, 60_000);

  test("a vault in each region with its key, protected, and no other key replaces it", () => {
    expect(
      ofType(made, "backup.Vault")
        .map(({ name }) => name)
        .sort(),
    ).toEqual([`backups-${AWAY}`, `backups-${HOME}`]);
    expect(the(made, "backup.Vault", `backups-${AWAY}`)).toMatchObject({
      args: {
        ...{ name: named(`backups-${AWAY}`), kmsKeyArn: arn("kms", AWAY, `key-${AWAY}`), forceDestroy: false },
        tags: tags(`backups-${AWAY}`),
      },
      ...{ protect: true, provider: `aws-${AWAY}`, ignoreChanges: ["kmsKeyArn"], parent: "backup" },
    });
  });

  test("the primary's snapshot every day, kept as long as the configuration says, and copied to the further region", () => {
    const copies = [{ destinationVaultArn: arn("backup", AWAY, `backups-${AWAY}`), lifecycle: { deleteAfter: 14 } }];
    expect(the(made, "backup.Plan", "backups").args).toEqual({
      name: named("backups"),
      rules: [
        {
          ...rule,
          targetVaultName: the(made, "backup.Vault", `backups-${HOME}`).args.name,
          lifecycle: { deleteAfter: 14 },
          copyActions: copies,
        },
      ],
      tags: tags("backups"),
    });
    expect(the(made, "backup.Selection", "backups").args).toEqual({
      ...{ name: named("backups"), planId: "backups-id", iamRoleArn: ROLE, resources: [primary(made)] },
    });
  });

  test("the newest snapshot is restored in the stack's own subnets, out of reach from outside", () => {
    const name = expect.stringMatching(/^pgladder_dev_restores_[0-9a-f]{6}$/);
    expect(the(made, "backup.RestoreTestingPlan", "restores").args).toEqual({
      name,
      scheduleExpression: "cron(0 15 1 * ? *)",
      scheduleExpressionTimezone: "Etc/UTC",
      startWindowHours: 1,
      recoveryPointSelection: {
        algorithm: "LATEST_WITHIN_WINDOW",
        includeVaults: [arn("backup", HOME, `backups-${HOME}`)],
        recoveryPointTypes: ["SNAPSHOT"],
        selectionWindowDays: 14,
      },
      tags: tags("restores"),
    });
    expect(the(made, "backup.RestoreTestingSelection", "restores").args).toEqual({
      name,
      restoreTestingPlanName: name,
      protectedResourceType: "RDS",
      protectedResourceArns: [primary(made)],
      iamRoleArn: ROLE,
      validationWindowHours: 4,
      restoreMetadataOverrides: {
        dbSubnetGroupName: named(`database-${HOME}`),
        vpcSecurityGroupIds: `["database-${HOME}-id"]`,
        publiclyAccessible: "false",
      },
    });
  });

  test("AWS Backup may do what AWS' own policies for it say, for this account", () => {
    const { args } = the(made, "iam.Role", "backups");
    expect(JSON.parse(args.assumeRolePolicy as string).Statement).toEqual([
      {
        Effect: "Allow",
        Principal: { Service: "backup.amazonaws.com" },
        Action: "sts:AssumeRole",
        Condition: { StringEquals: { "aws:SourceAccount": ACCOUNT } },
      },
    ]);
    const policies = ofType(made, "iam.RolePolicyAttachment").filter(({ parent }) => parent === "backup");
    expect(policies.map((each) => `${each.args.role} ${each.args.policyArn}`).sort()).toEqual(
      ["Backup", "Restores"].map((what) => `${args.name} arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyFor${what}`),
    );
  });

  test("what fails of this stack's backups, copies and restore tests is told at home", () => {
    const ended = ["FAILED", "ABORTED", "EXPIRED", "PARTIAL"];
    expect(JSON.parse(the(made, "cloudwatch.EventRule", "backups-failed").args.eventPattern as string)).toEqual({
      source: ["aws.backup"],
      "detail-type": ["Backup Job State Change", "Copy Job State Change", "Restore Job State Change"],
      detail: { iamRoleArn: [ROLE], $or: [{ state: ended }, { status: ended }] },
    });
    expect(the(made, "cloudwatch.EventTarget", "backups-failed").args).toEqual({
      ...{ rule: named("backups-failed"), targetId: "notices", arn: arn("sns", HOME, `notices-${HOME}`) },
    });
  });
});

test("one region: no copy, and a restore each Monday", async () => {
  const made = await runAws({ stage: 1 });
  const targetVaultName = the(made, "backup.Vault", `backups-${HOME}`).args.name;
  expect(the(made, "backup.Plan", "backups").args.rules).toEqual([{ ...rule, targetVaultName }]);
  expect(the(made, "backup.RestoreTestingPlan", "restores").args.scheduleExpression).toBe("cron(0 15 ? * MON *)");
});

test.each([
  ["day", ["cron(0 15 * * ? *)"]],
  ["never", []],
])("restoreTest: %s", async (restoreTest, schedules) => {
  const made = await runAws({ stage: 1, backup: { restoreTest } });
  expect(ofType(made, "backup.RestoreTestingPlan").map(({ args }) => args.scheduleExpression)).toEqual(schedules);
  expect(ofType(made, "backup.RestoreTestingSelection")).toHaveLength(schedules.length);
});

test("without protection too a vault that still holds snapshots is not deleted", async () => {
  const made = await runAws({ stage: 1, protect: false });
  expect(the(made, "backup.Vault", `backups-${HOME}`)).toMatchObject({ protect: false, args: { forceDestroy: false } });
});
