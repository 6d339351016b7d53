/**
 * What the AWS target asks for around its agent: functions, rights, invocations, schedules, under mocks. Cannot prove that AWS takes it, nor
 * what the functions do: test/postgres/lambda.test.ts runs the same packages before real servers. Nothing of it has run on AWS.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { Agent } from "../../components/aws/agent.ts";
import type { PoolerRefs } from "../../components/aws/contract.ts";
import { archiveOf, hashOf, packagesOf, withoutSuperuser } from "../../components/aws/package.ts";
import { LAMBDA_COMMANDS, type LambdaCommand, type LambdaEvent } from "../../plan/lambda.ts";
import type { Given } from "../support/config.ts";
import { ACCOUNT, type Made, ofType, recorded, shortType, the } from "./aws-mocks.ts";
import { AWAY, commonOf, databaseOf, HASH, HOME, keyOf, placeOf, secretsOf, tags, topologyOf } from "./aws-parts.ts";

const SCHEMA = { "0001_notes.sql": "create table notes (id int);\n" };
const named = (part: string) => expect.stringMatching(new RegExp(`^pgladder-dev-${part}-${HASH}$`));
/** Roles that servers have for each other. */
const BETWEEN_SERVERS = ["ladder_replication", "ladder_gateway", "ladder_gateway_ro"] as const;
const digest = (text: string) => createHash("sha256").update(text).digest("hex");

const poolerOf = (region: string): PoolerRefs => ({
  region,
  host: `db.${region}.test`,
  autoScalingGroupName: `group-${region}`,
  loadBalancerSuffix: undefined as never,
  targetGroupSuffix: undefined as never,
  logGroupName: `log-${region}`,
  after: [],
});

const run = (given: Given, schema: Record<string, string> = SCHEMA, stack = "dev", project = "pgladder") =>
  recorded(
    (options) => {
      const topology = topologyOf(given, stack);
      new Agent(
        "agent",
        {
          ...commonOf(project, stack),
          place: placeOf(HOME, options),
          topology,
          schema,
          release: false,
          database: databaseOf(topology, options),
          secrets: secretsOf(),
          poolers: topology.regions.map(poolerOf),
          after: [],
        },
        options,
      );
    },
    { project, stack },
  );

const eventIn = (made: readonly Made[], command: LambdaCommand): LambdaEvent => {
  const found = ofType(made, "lambda.Invocation").find(({ name }) => name === `agent-${command}`)?.args.input;
  const target = ofType(made, "scheduler.Schedule").find(({ name }) => name === `agent-${command}`)?.args.target as
    | { input: string }
    | undefined;
  return JSON.parse((found as string | undefined) ?? target!.input) as LambdaEvent;
};
const rights = (made: readonly Made[], part: string) =>
  JSON.parse(the(made, "iam.RolePolicy", part).args.policy as string).Statement as {
    Sid: string;
    Effect: string;
    Action: string[];
    Resource: string | string[];
    Condition?: object;
  }[];
const own = (made: readonly Made[]) => made.filter(({ type }) => type.startsWith("aws:") && !["rds.Instance"].includes(shortType(type)));

describe("stage 3 in two regions", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await run({ stage: 3, replicaRegions: [AWAY] });
  });

  test("is exactly these resources, all in the home region", () => {
    const parts = LAMBDA_COMMANDS.map((command) => `agent-${command}`);
    expect(
      own(made)
        .map(({ type, name }) => `${shortType(type)} ${name}`)
        .sort(),
    ).toEqual(
      [
        ...parts.flatMap((part) =>
          ["cloudwatch.LogGroup", "iam.Role", "iam.RolePolicy", "lambda.Function"].map((type) => `${type} ${part}`),
        ),
        ...["lambda.Invocation agent-configure", "lambda.Invocation agent-migrate"],
        ...["scheduler.Schedule agent-metrics", "scheduler.Schedule agent-move"],
        ...["lambda.FunctionEventInvokeConfig agent-metrics", "lambda.FunctionEventInvokeConfig agent-move"],
        ...["iam.Role agent-schedules", "iam.RolePolicy agent-schedules"],
      ].sort(),
    );
    for (const each of own(made)) expect(each).toMatchObject({ provider: `aws-${HOME}`, parent: "agent" });
  });

  test.each([
    ["configure", 900, undefined],
    ["migrate", 900, undefined],
    ["move", 900, 1],
    ["metrics", 55, undefined],
  ] as const)("function %s may take %i s, runs %s at a time, and has no environment", (command, timeout, concurrency) => {
    const part = `agent-${command}`;
    expect(the(made, "lambda.Function", part).args).toEqual({
      name: named(part),
      description: `pgladder: the agent's command ${command}`,
      runtime: "nodejs24.x",
      architectures: ["x86_64"],
      handler: "agent.handler",
      code: expect.anything(),
      role: `arn:aws:iam:${HOME}:${ACCOUNT}:${part}`,
      memorySize: 1024,
      timeout,
      ...(concurrency === undefined ? {} : { reservedConcurrentExecutions: concurrency }),
      vpcConfig: { subnetIds: ["subnet-1", "subnet-2", "subnet-3"], securityGroupIds: ["sg-agent"] },
      loggingConfig: { logFormat: "Text", logGroup: the(made, "cloudwatch.LogGroup", part).args.name },
      tags: tags(part),
    });
    expect(the(made, "cloudwatch.LogGroup", part).args).toEqual({
      name: `/aws/lambda/${the(made, "lambda.Function", part).args.name}`,
      retentionInDays: 365,
      kmsKeyId: keyOf(HOME),
      tags: tags(part),
    });
  });

  test("no password is in anything that the agent is made of or told", () => {
    for (const each of own(made)) expect(JSON.stringify(each.args)).not.toContain("password-of");
    for (const each of own(made)) expect(each.secret).toEqual([]);
  });

  test.each([
    ["configure", ["ladder_admin", "ladder_monitor", "app", "app_ro", ...BETWEEN_SERVERS]],
    ["migrate", ["ladder_admin", ...BETWEEN_SERVERS]],
    ["move", ["ladder_admin", "ladder_monitor", ...BETWEEN_SERVERS]],
    ["metrics", ["ladder_monitor", "ladder_agent"]],
  ] as const)("%s may write its log, and read the passwords of %s", (command, roles) => {
    const part = `agent-${command}`;
    const actions = "CreateNetworkInterface DescribeNetworkInterfaces DescribeSubnets DeleteNetworkInterface";
    const addresses = "AssignPrivateIpAddresses UnassignPrivateIpAddresses";
    const interfaces = `${actions} ${addresses}`.split(" ").map((action) => `ec2:${action}`);
    const self = `arn:aws:lambda:${HOME}:${ACCOUNT}:function:${the(made, "lambda.Function", part).args.name}`;
    expect(rights(made, part)).toEqual([
      {
        Sid: "Log",
        Effect: "Allow",
        Action: ["logs:CreateLogStream", "logs:PutLogEvents"],
        Resource: `arn:aws:cloudwatch:${HOME}:${ACCOUNT}:${part}:*`,
      },
      { Sid: "Interfaces", Effect: "Allow", Action: interfaces, Resource: "*" },
      {
        Sid: "NotTheCode",
        Effect: "Deny",
        Action: interfaces,
        Resource: "*",
        Condition: { ArnEquals: { "lambda:SourceFunctionArn": self } },
      },
      {
        Sid: "Passwords",
        Effect: "Allow",
        Action: ["secretsmanager:GetSecretValue"],
        Resource: roles.map((role) => `arn:${HOME}:${role}`),
      },
      {
        Sid: "PasswordsKey",
        Effect: "Allow",
        Action: ["kms:Decrypt"],
        Resource: keyOf(HOME),
        Condition: { StringLike: { "kms:ViaService": `secretsmanager.${HOME}.amazonaws.com*` } },
      },
      ...(command === "metrics"
        ? [
            {
              Sid: "Poolers",
              Effect: "Allow",
              Action: ["ec2:DescribeInstances"],
              Resource: "*",
              Condition: { StringEquals: { "aws:RequestedRegion": [HOME, AWAY] } },
            },
          ]
        : []),
    ]);
    expect(Object.keys(eventIn(made, command).secrets).sort()).toEqual([...roles].sort());
    expect(JSON.parse(the(made, "iam.Role", part).args.assumeRolePolicy as string).Statement).toEqual([
      { Effect: "Allow", Principal: { Service: "lambda.amazonaws.com" }, Action: "sts:AssumeRole" },
    ]);
  });

  test("configure and migrate run when their package, their event or a password changes, and are made anew each time", () => {
    const { common, application } = packagesOf(SCHEMA);
    for (const [command, contents, more] of [
      ["configure", common, { secrets: digest("1,1,1,1,1,1,1") }],
      ["migrate", application, {}],
    ] as const) {
      const { args } = the(made, "lambda.Invocation", `agent-${command}`);
      expect(args).toEqual({
        functionName: the(made, "lambda.Function", `agent-${command}`).args.name,
        lifecycleScope: "CREATE_ONLY",
        input: expect.any(String),
        triggers: { package: hashOf(contents), event: digest(args.input as string), ...more },
      });
    }
  });

  test("move and metrics run every minute; a run that was missed is not made up for", () => {
    for (const command of ["move", "metrics"] as const) {
      expect(the(made, "lambda.FunctionEventInvokeConfig", `agent-${command}`).args).toEqual({
        functionName: the(made, "lambda.Function", `agent-${command}`).args.name,
        maximumRetryAttempts: 0,
        maximumEventAgeInSeconds: 60,
      });
      expect(the(made, "scheduler.Schedule", `agent-${command}`).args).toEqual({
        name: named(`agent-${command}`),
        description: `pgladder: the agent's command ${command}`,
        scheduleExpression: "rate(1 minute)",
        flexibleTimeWindow: { mode: "OFF" },
        target: {
          arn: `arn:aws:lambda:${HOME}:${ACCOUNT}:agent-${command}`,
          roleArn: `arn:aws:iam:${HOME}:${ACCOUNT}:agent-schedules`,
          input: expect.any(String),
          retryPolicy: { maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 },
        },
      });
    }
    expect(rights(made, "agent-schedules")).toEqual([
      {
        Sid: "Run",
        Effect: "Allow",
        Action: ["lambda:InvokeFunction"],
        Resource: ["move", "metrics"].map((command) => `arn:aws:lambda:${HOME}:${ACCOUNT}:agent-${command}`),
      },
    ]);
    expect(JSON.parse(the(made, "iam.Role", "agent-schedules").args.assumeRolePolicy as string).Statement[0].Condition).toEqual({
      StringEquals: { "aws:SourceAccount": ACCOUNT },
    });
  });

  test("events say where the servers are, the primary first, and what shall be true", () => {
    const { desired, nodes, poolers, authority } = eventIn(made, "metrics");
    const hosts = ["main-1", "main-2", "main-3", `main-${AWAY}-1`].map((name) => `${name}.rds.test`);
    expect(nodes.map(({ host }) => host)).toEqual(hosts);
    expect(nodes[3]).toEqual({ name: `main-${AWAY}-1`, cluster: "main", identifier: `main-${AWAY}-1`, role: "standby", host: hosts[3] });
    expect(poolers).toEqual(
      [HOME, AWAY].map((region) => ({ region, host: `db.${region}.test`, group: `group-${region}`, processes: 2, adminPort: 6500 })),
    );
    expect(authority).toBe("ca");
    expect(desired).toMatchObject({
      stage: 3,
      database: "app",
      partitions: true,
      cache: null,
      pooler: { host: hosts[0], port: 5432 },
      cluster: { nodes: hosts.slice(0, 3), wanted: hosts.slice(0, 3) },
      shards: [],
    });
    expect(eventIn(made, "configure")).toMatchObject({ poolers: [], authority: "" });
  });
});

test("names hold in an account for a long project, and stacks do not share them", async () => {
  const project = "a-very-long-project-name-that-goes-on-and-on-and-on-for-ever";
  const names = async (stack: string) =>
    own(await run({ stage: 1 }, SCHEMA, stack, project)).flatMap(({ type, args }) => {
      const name = args.name as string | undefined;
      const limit = shortType(type) === "cloudwatch.LogGroup" ? 512 : shortType(type) === "iam.RolePolicy" ? 128 : 64;
      if (name !== undefined) expect(name.length, name).toBeLessThanOrEqual(limit);
      return name ?? [];
    });
  const [first, second] = [await names("a-stack-with-quite-a-long-name"), await names("dev")];
  expect(first).toHaveLength(20);
  expect(first.filter((name) => second.includes(name))).toEqual([]);
});

describe("packages", () => {
  test("a changed schema changes what migrate is made of, and nothing else", () => {
    const [before, after] = [packagesOf(SCHEMA), packagesOf({ ...SCHEMA, "0002_more.sql": "select 1;\n" })];
    expect(hashOf(after.application)).not.toBe(hashOf(before.application));
    expect(hashOf(after.common)).toBe(hashOf(before.common));
    expect(after.application["schema/0002_more.sql"]).toEqual({ text: "select 1;\n" });
    expect(Object.keys(after.common).filter((path) => path.startsWith("schema/"))).toEqual([]);
  });

  test("nothing of a package is text in Pulumi's state: only where it is on this machine", async () => {
    const parts = (await archiveOf(packagesOf(SCHEMA).application).assets) as Record<string, object>;
    expect(Object.keys(parts).filter((path) => path !== "bin/squawk")).toEqual(["agent.mjs", "sql", "schema", "libpg-query.wasm"]);
    for (const part of Object.values(parts)) expect(part).not.toBeInstanceOf(pulumi.asset.StringAsset);
    const schema = await (parts.schema as pulumi.asset.FileArchive).path;
    expect(readFileSync(`${schema}/0001_notes.sql`, "utf8")).toBe(SCHEMA["0001_notes.sql"]);
    const again = (await archiveOf(packagesOf(SCHEMA).application).assets) as Record<string, pulumi.asset.FileArchive>;
    expect(await again.schema!.path).toBe(schema);
  });

  test("the platform's SQL asks for nothing that only a superuser may say", () => {
    expect(withoutSuperuser("alter role app nosuperuser nocreaterole nocreatedb noreplication;\nselect 1;\n")).toBe(
      "alter role app nocreaterole nocreatedb;\nselect 1;\n",
    );
    for (const [path, content] of Object.entries(packagesOf({}).common))
      if (path.startsWith("sql/")) expect("text" in content && /\bno(superuser|replication)\b/.test(content.text), path).toBe(false);
  });
});
