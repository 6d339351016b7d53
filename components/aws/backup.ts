import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../../plan/config.ts";
import type { Common, DatabaseRefs, Place } from "./contract.ts";

export interface BackupArgs extends Common {
  /** The home region first. Every region has a vault; the first further one gets copies. */
  regions: readonly [string, ...string[]];
  places: Readonly<Record<string, Place>>;
  database: DatabaseRefs;
  /** Days that snapshots are kept, and how often one is restored. Changes are made in place; snapshots that are there keep their day. */
  backup: StackConfig["backup"];
  /** Of the home region, for what failed; null tells nobody. */
  topic: pulumi.Output<string> | null;
}

/** In UTC. After RDS' own backup (03:00) and both maintenance windows (05:00): AWS Backup refuses to start in the hour before each. */
const DAILY = "cron(0 7 * * ? *)";
/** Minutes in which a backup must start, and end. */
const START = 60;
const COMPLETION = 720;

/** When the newest snapshot is restored: in the afternoon, when that of the day is there. */
const RESTORES = {
  day: "cron(0 15 * * ? *)",
  week: "cron(0 15 ? * MON *)",
  month: "cron(0 15 1 * ? *)",
} as const;
/** Hours in which a restore test must start, and that the restored instance stays for whoever wants to look at it. */
const RESTORE_START = 1;
const RESTORE_STAYS = 4;

/** Databases that restore tests take by name, by AWS. */
const MOST_NAMED = 30;

const ENDED_BADLY = ["FAILED", "ABORTED", "EXPIRED", "PARTIAL"];

/**
 * Daily snapshots of every primary in a vault, a copy in the first further region, and restores of the newest one on a schedule: AWS
 * starts an instance from it, and deletes it. They come beside RDS' own backups, which are for any point in time and end with the instance.
 */
export class Backup extends pulumi.ComponentResource {
  constructor(name: string, args: BackupArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Backup", name, {}, options);
    const { regions, places, backup, database, naming, tags, topic } = args;
    const home = places[regions[0]]!;
    const at = { parent: this, provider: home.provider };
    const vaults = Object.fromEntries(Object.values(places).map((place) => [place.region, this.#vault(place, args)]));
    const role = this.#role(home, args);
    const lifecycle = { deleteAfter: backup.retentionDays };
    const copy = regions[1] === undefined ? [] : [{ destinationVaultArn: vaults[regions[1]]!.arn, lifecycle }];
    const plan = new aws.backup.Plan(
      "backups",
      {
        name: naming("backups", 50),
        rules: [
          {
            ruleName: "daily",
            targetVaultName: vaults[home.region]!.name,
            schedule: DAILY,
            startWindow: START,
            completionWindow: COMPLETION,
            lifecycle,
            copyActions: copy,
            recoveryPointTags: tags("backups"),
          },
        ],
        tags: tags("backups"),
      },
      at,
    );
    const primaries = database.nodes.filter((node) => node.role === "primary");
    new aws.backup.Selection(
      "backups",
      { name: naming("backups", 50), planId: plan.id, iamRoleArn: role.arn, resources: primaries.map(({ arn }) => arn) },
      at,
    );
    if (backup.restoreTest !== "never") this.#restores(RESTORES[backup.restoreTest], vaults[home.region]!, role, home, args);
    if (topic) this.#failures(role, topic, home, args);
    this.registerOutputs({});
  }

  #vault({ region, provider, kmsKeyArn, protect }: Place, { naming, tags }: BackupArgs): aws.backup.Vault {
    const part = `backups-${region}`;
    return new aws.backup.Vault(
      part,
      // A vault that still holds snapshots is not deleted, with or without protection.
      { name: naming(part, 50), kmsKeyArn, forceDestroy: false, tags: tags(part) },
      // Another key would replace the vault and lose what is in it.
      { parent: this, provider, protect, ignoreChanges: ["kmsKeyArn"] },
    );
  }

  /** What AWS Backup does in the stack's name: exactly AWS' own policies for it. */
  #role({ provider, partition, accountId }: Place, { naming, tags }: BackupArgs): aws.iam.Role {
    const at = { parent: this, provider };
    const role = new aws.iam.Role(
      "backups",
      {
        name: naming("backups", 64),
        assumeRolePolicy: pulumi.output(accountId).apply((account) =>
          JSON.stringify({
            Version: "2012-10-17",
            Statement: [
              {
                Effect: "Allow",
                Principal: { Service: "backup.amazonaws.com" },
                Action: "sts:AssumeRole",
                Condition: { StringEquals: { "aws:SourceAccount": account } },
              },
            ],
          }),
        ),
        tags: tags("backups"),
      },
      at,
    );
    for (const what of ["Backup", "Restores"])
      new aws.iam.RolePolicyAttachment(
        `backups-${what.toLowerCase()}`,
        { role: role.name, policyArn: `arn:${partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyFor${what}` },
        at,
      );
    return role;
  }

  #restores(
    schedule: string,
    vault: aws.backup.Vault,
    role: aws.iam.Role,
    home: Place,
    { database, backup, naming, tags }: BackupArgs,
  ): void {
    const at = { parent: this, provider: home.provider };
    // Restore tests alone refuse hyphens.
    const name = naming("restores", 50).replaceAll("-", "_");
    const plan = new aws.backup.RestoreTestingPlan(
      "restores",
      {
        name,
        scheduleExpression: schedule,
        scheduleExpressionTimezone: "Etc/UTC",
        startWindowHours: RESTORE_START,
        recoveryPointSelection: {
          algorithm: "LATEST_WITHIN_WINDOW",
          includeVaults: [vault.arn],
          recoveryPointTypes: ["SNAPSHOT"],
          selectionWindowDays: backup.retentionDays,
        },
        tags: tags("restores"),
      },
      at,
    );
    const { instance } = database.primary;
    const primaries = database.nodes.filter(({ role: its }) => its === "primary");
    new aws.backup.RestoreTestingSelection(
      "restores",
      {
        name,
        restoreTestingPlanName: plan.name,
        protectedResourceType: "RDS",
        // All that the vault holds is the stack's.
        protectedResourceArns: primaries.length > MOST_NAMED ? ["*"] : primaries.map(({ arn }) => arn),
        iamRoleArn: role.arn,
        validationWindowHours: RESTORE_STAYS,
        // Without these it would start in the account's default VPC, or not at all where there is none.
        restoreMetadataOverrides: {
          dbSubnetGroupName: instance.dbSubnetGroupName,
          vpcSecurityGroupIds: home.securityGroups.database.apply((id) => JSON.stringify([id])),
          publiclyAccessible: "false",
        },
      },
      at,
    );
  }

  /** Backups, copies and restore tests that did not end well: what this role did, so that no other stack's are told. */
  #failures(role: aws.iam.Role, topic: pulumi.Output<string>, { provider }: Place, { naming, tags }: BackupArgs): void {
    const at = { parent: this, provider };
    const part = "backups-failed";
    const rule = new aws.cloudwatch.EventRule(
      part,
      {
        name: naming(part, 64),
        description: "pgladder: a backup, a copy or a restore test failed",
        eventPattern: role.arn.apply((arn) =>
          JSON.stringify({
            source: ["aws.backup"],
            "detail-type": ["Backup Job State Change", "Copy Job State Change", "Restore Job State Change"],
            detail: { iamRoleArn: [arn], $or: [{ state: ENDED_BADLY }, { status: ENDED_BADLY }] },
          }),
        ),
        tags: tags(part),
      },
      at,
    );
    new aws.cloudwatch.EventTarget(part, { rule: rule.name, targetId: "notices", arn: topic }, at);
  }
}
