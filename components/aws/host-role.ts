import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Common, Place, SecretRef } from "./contract.ts";

export interface HostRoleArgs extends Common {
  place: Place;
  /** Everything in Secrets Manager that the hosts may read. */
  secrets: readonly SecretRef[];
  /** Name of their settings in Parameter Store. */
  parameter: string;
  repositoryArn: pulumi.Input<string>;
  logGroupArn: pulumi.Input<string>;
  groupName: string;
}

/** What a region's pooler hosts may do at AWS: read what they need, write their log, say that they have left. */
export class HostRole extends pulumi.ComponentResource {
  readonly profileArn: pulumi.Output<string>;
  /** Stands when the rights do. */
  readonly after: readonly pulumi.Resource[];

  constructor(name: string, args: HostRoleArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:HostRole", name, {}, options);
    const { place, naming, tags } = args;
    const child = { parent: this };
    const part = `pooler-${place.region}`;
    const role = new aws.iam.Role(
      part,
      {
        name: naming(part, 64),
        assumeRolePolicy: JSON.stringify({
          Version: "2012-10-17",
          Statement: [{ Effect: "Allow", Principal: { Service: `ec2.${suffix(place.partition)}` }, Action: "sts:AssumeRole" }],
        }),
        tags: tags(part),
      },
      child,
    );
    const rights = new aws.iam.RolePolicy(part, { role: role.name, policy: hostPolicy(args) }, child);
    const profile = new aws.iam.InstanceProfile(part, { name: naming(part, 128), role: role.name, tags: tags(part) }, child);
    this.profileArn = profile.arn;
    this.after = [rights];
    this.registerOutputs({});
  }
}

const suffix = (partition: string): string => (partition === "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com");

function hostPolicy(args: HostRoleArgs): pulumi.Output<string> {
  const { place, secrets, parameter, repositoryArn, logGroupArn, groupName } = args;
  const { region, partition, accountId, kmsKeyArn } = place;
  const arns = pulumi.all(secrets.map(({ arnIn }) => arnIn(region)));
  return pulumi.all([arns, accountId, repositoryArn, logGroupArn, kmsKeyArn]).apply(([secretArns, account, repository, logs, key]) =>
    JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        { Sid: "Secrets", Effect: "Allow", Action: "secretsmanager:GetSecretValue", Resource: secretArns },
        // Asks for several at once; each of them still needs the right above.
        { Sid: "Batch", Effect: "Allow", Action: "secretsmanager:BatchGetSecretValue", Resource: "*" },
        {
          Sid: "Settings",
          Effect: "Allow",
          Action: "ssm:GetParameter",
          Resource: `arn:${partition}:ssm:${region}:${account}:parameter${parameter}`,
        },
        {
          Sid: "Key",
          Effect: "Allow",
          Action: "kms:Decrypt",
          Resource: key,
          Condition: {
            StringEquals: { "kms:ViaService": ["secretsmanager", "ssm"].map((its) => `${its}.${region}.${suffix(partition)}`) },
          },
        },
        { Sid: "Registry", Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource: "*" },
        {
          Sid: "Image",
          Effect: "Allow",
          Action: ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
          Resource: repository,
        },
        // Session Manager is the only way on to a host: there are no keys and no open port 22. AWS' own policy for it reads every parameter.
        {
          Sid: "Sessions",
          Effect: "Allow",
          Action: [
            "ssm:UpdateInstanceInformation",
            "ssmmessages:CreateControlChannel",
            "ssmmessages:CreateDataChannel",
            "ssmmessages:OpenControlChannel",
            "ssmmessages:OpenDataChannel",
          ],
          Resource: "*",
        },
        { Sid: "Log", Effect: "Allow", Action: ["logs:CreateLogStream", "logs:PutLogEvents"], Resource: `${logs}:*` },
        {
          Sid: "Leaving",
          Effect: "Allow",
          Action: "autoscaling:CompleteLifecycleAction",
          Resource: `arn:${partition}:autoscaling:${region}:${account}:autoScalingGroup:*:autoScalingGroupName/${groupName}`,
        },
      ],
    }),
  );
}
