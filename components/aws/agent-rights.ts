/** What the agent's functions may do at AWS: each command its own role, with the secrets that it needs and nothing else. */
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { type LambdaCommand, SECRETS_OF } from "../../plan/lambda.ts";
import type { AgentArgs } from "./agent.ts";

interface Statement {
  Sid: string;
  Effect: "Allow" | "Deny";
  Action: readonly string[];
  Resource: string | readonly string[];
  Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

const document = (statements: readonly Statement[]): string => JSON.stringify({ Version: "2012-10-17", Statement: statements });

const trust = (service: string, account: string): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { Service: service },
        Action: "sts:AssumeRole",
        ...(service.startsWith("scheduler") ? { Condition: { StringEquals: { "aws:SourceAccount": account } } } : {}),
      },
    ],
  });

/** What Lambda itself does with the role to put a function into a VPC; these actions know no narrower resource. */
const INTERFACES = [
  "ec2:CreateNetworkInterface",
  "ec2:DescribeNetworkInterfaces",
  "ec2:DescribeSubnets",
  "ec2:DeleteNetworkInterface",
  "ec2:AssignPrivateIpAddresses",
  "ec2:UnassignPrivateIpAddresses",
];

interface FunctionRights extends AgentArgs {
  functionName: string;
  logGroupArn: pulumi.Output<string>;
}

/** The role of one command. */
export function functionRole(
  command: LambdaCommand,
  args: FunctionRights,
  parent: pulumi.Resource,
): { role: aws.iam.Role; policy: aws.iam.RolePolicy } {
  const { naming, tags, place, secrets, logGroupArn, functionName, poolers } = args;
  const part = `agent-${command}`;
  const role = new aws.iam.Role(
    part,
    {
      name: naming(part, 64),
      assumeRolePolicy: place.accountId.apply((account) => trust("lambda.amazonaws.com", account)),
      tags: tags(part),
    },
    { parent },
  );
  const arns = pulumi.all(SECRETS_OF[command].map((name) => secrets.roles[name]!.arn));
  const policy = pulumi.all([place.accountId, logGroupArn, arns, place.kmsKeyArn]).apply(([account, logs, secretArns, key]) => {
    const self = `arn:${place.partition}:lambda:${place.region}:${account}:function:${functionName}`;
    return document([
      { Sid: "Log", Effect: "Allow", Action: ["logs:CreateLogStream", "logs:PutLogEvents"], Resource: `${logs}:*` },
      { Sid: "Interfaces", Effect: "Allow", Action: INTERFACES, Resource: "*" },
      // Lambda needs them, the code in the function does not.
      {
        Sid: "NotTheCode",
        Effect: "Deny",
        Action: INTERFACES,
        Resource: "*",
        Condition: { ArnEquals: { "lambda:SourceFunctionArn": self } },
      },
      { Sid: "Passwords", Effect: "Allow", Action: ["secretsmanager:GetSecretValue"], Resource: secretArns },
      {
        Sid: "PasswordsKey",
        Effect: "Allow",
        Action: ["kms:Decrypt"],
        Resource: key,
        Condition: { StringLike: { "kms:ViaService": `secretsmanager.${place.region}.amazonaws.com*` } },
      },
      ...(command === "metrics" ? [findPoolers(poolers.map(({ region }) => region))] : []),
    ]);
  });
  return { role, policy: new aws.iam.RolePolicy(part, { name: naming(part, 128), role: role.name, policy }, { parent }) };
}

/** Looking for instances knows no narrower resource than a region. */
const findPoolers = (regions: readonly string[]): Statement => ({
  Sid: "Poolers",
  Effect: "Allow",
  Action: ["ec2:DescribeInstances"],
  Resource: "*",
  Condition: { StringEquals: { "aws:RequestedRegion": regions } },
});

/** Lets the schedules run these functions. */
export function schedulerRole(
  functions: readonly aws.lambda.Function[],
  { naming, tags, place }: AgentArgs,
  parent: pulumi.Resource,
): aws.iam.Role {
  const part = "agent-schedules";
  const role = new aws.iam.Role(
    part,
    {
      name: naming(part, 64),
      assumeRolePolicy: place.accountId.apply((account) => trust("scheduler.amazonaws.com", account)),
      tags: tags(part),
    },
    { parent },
  );
  const policy = pulumi
    .all(functions.map(({ arn }) => arn))
    .apply((arns) => document([{ Sid: "Run", Effect: "Allow", Action: ["lambda:InvokeFunction"], Resource: arns }]));
  new aws.iam.RolePolicy(part, { name: naming(part, 128), role: role.name, policy }, { parent });
  return role;
}
