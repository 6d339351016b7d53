import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { type Common, EVENT_BRIDGE } from "./contract.ts";

export interface KeyArgs extends Common {
  region: string;
  partition: string;
  accountId: pulumi.Input<string>;
  /** A key that exists; its policy is its owner's, and must let CloudWatch Logs, EventBridge and the services of `SERVICES` use it. */
  existing: string | null;
}

/** Services that write to encrypted topics in nobody's name and say for which account: alarms, RDS events, backups. */
const SERVICES = ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com", "backup.amazonaws.com"];

/**
 * The key of one region. Everything at rest is encrypted with it; the material rotates once a year, by AWS.
 * It stays when the stack or the region goes.
 * What a change costs: none of the arguments replaces the key; another `existing` key would replace every database, so `protect` refuses.
 */
export class Keys extends pulumi.ComponentResource {
  readonly arn: pulumi.Output<string>;

  constructor(name: string, args: KeyArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Keys", name, {}, options);
    this.arn = args.existing === null ? this.#make(args) : pulumi.output(args.existing);
    this.registerOutputs({ arn: this.arn });
  }

  #make({ region, partition, accountId, naming, tags, protect }: KeyArgs): pulumi.Output<string> {
    const part = `key-${region}`;
    const key = new aws.kms.Key(
      part,
      {
        description: `pgladder: ${naming(part)}`,
        enableKeyRotation: true,
        deletionWindowInDays: 30,
        policy: pulumi.output(accountId).apply((account) => keyPolicy(partition, region, account)),
        tags: tags(part),
      },
      // Final snapshots and what is in the vaults can be read only as long as their key is there: it ends by its owner's hand.
      { parent: this, protect, retainOnDelete: true },
    );
    new aws.kms.Alias(part, { name: `alias/${naming(part, 200)}`, targetKeyId: key.keyId }, { parent: this });
    return key.arn;
  }
}

/** The account decides by IAM; services that act in nobody's name get what their encryption needs, for this account only. */
function keyPolicy(partition: string, region: string, account: string): string {
  const use = ["kms:Decrypt", "kms:GenerateDataKey*"];
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      { Sid: "Account", Effect: "Allow", Principal: { AWS: `arn:${partition}:iam::${account}:root` }, Action: "kms:*", Resource: "*" },
      {
        Sid: "Logs",
        Effect: "Allow",
        Principal: { Service: `logs.${region}.amazonaws.com` },
        Action: [...use, "kms:Encrypt", "kms:ReEncrypt*", "kms:DescribeKey"],
        Resource: "*",
        Condition: { ArnLike: { "kms:EncryptionContext:aws:logs:arn": `arn:${partition}:logs:${region}:${account}:*` } },
      },
      {
        Sid: "Notices",
        Effect: "Allow",
        Principal: { Service: SERVICES },
        Action: use,
        Resource: "*",
        Condition: { StringEquals: { "aws:SourceAccount": account } },
      },
      // EventBridge names no account: under a condition its messages would be dropped without a word. The topic itself is the limit.
      { Sid: "Events", Effect: "Allow", Principal: { Service: EVENT_BRIDGE }, Action: use, Resource: "*" },
    ],
  });
}
