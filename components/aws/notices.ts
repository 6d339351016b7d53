import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { type Common, EVENT_BRIDGE, type Place } from "./contract.ts";

export interface NoticesArgs extends Common {
  places: Readonly<Record<string, Place>>;
  /** E-mail addresses and https URLs. Each gets one message in each region that asks whether it wants to be told. */
  receivers: readonly string[];
}

/** Services that tell the topic something in nobody's name, and for which account. The regions' keys let the same ones use them. */
const SENDERS = ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"];

/** Where alarms, events of RDS and failed backups are sent: a topic in each region, because an alarm reaches its own region's only. */
export class Notices extends pulumi.ComponentResource {
  /** ARN by region; known once the services may send to it. */
  readonly topics: Readonly<Record<string, pulumi.Output<string>>>;

  constructor(name: string, args: NoticesArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Notices", name, {}, options);
    this.topics = Object.fromEntries(Object.values(args.places).map((place) => [place.region, this.#topic(place, args)]));
    this.registerOutputs({});
  }

  #topic({ region, provider, accountId, kmsKeyArn }: Place, { receivers, naming, tags }: NoticesArgs): pulumi.Output<string> {
    const at = { parent: this, provider };
    const part = `notices-${region}`;
    const topic = new aws.sns.Topic(part, { name: naming(part, 256), kmsMasterKeyId: kmsKeyArn, tags: tags(part) }, at);
    const policy = new aws.sns.TopicPolicy(
      part,
      { arn: topic.arn, policy: pulumi.all([topic.arn, accountId]).apply(([arn, account]) => topicPolicy(arn, account)) },
      at,
    );
    for (const endpoint of receivers)
      new aws.sns.TopicSubscription(
        `${part}-${endpoint}`,
        { topic: topic.arn, protocol: endpoint.startsWith("https://") ? "https" : "email", endpoint },
        at,
      );
    return policy.arn;
  }
}

function topicPolicy(arn: string, account: string): string {
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "Services",
        Effect: "Allow",
        Principal: { Service: SENDERS },
        Action: "sns:Publish",
        Resource: arn,
        Condition: { StringEquals: { "aws:SourceAccount": account } },
      },
      // EventBridge takes no condition here: with one its messages would be dropped without a word.
      { Sid: "Events", Effect: "Allow", Principal: { Service: EVENT_BRIDGE }, Action: "sns:Publish", Resource: arn },
      {
        Sid: "Encrypted",
        Effect: "Deny",
        Principal: "*",
        Action: "sns:Publish",
        Resource: arn,
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ],
  });
}
