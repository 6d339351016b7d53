import { createHash } from "node:crypto";
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { eventOf, LAMBDA_COMMANDS, type LambdaCommand, type LambdaEvent, managedDesired, SECRETS_OF } from "../../plan/lambda.ts";
import type { Topology } from "../../plan/topology.ts";
import { functionRole, schedulerRole } from "./agent-rights.ts";
import { type AgentRefs, type Common, type DatabaseRefs, type Place, PORTS, type PoolerRefs, type SecretRefs } from "./contract.ts";
import { archiveOf, type Contents, hashOf, packagesOf, RUNTIME } from "./package.ts";

export interface AgentArgs extends Common {
  /** The home region: the agent looks after all regions from there. */
  place: Place;
  topology: Topology;
  /** The application's SQL by path. A change runs `migrate`; `move` knows it too. */
  schema: Readonly<Record<string, string>>;
  /** The configuration's `release`. */
  release: boolean;
  database: DatabaseRefs;
  secrets: SecretRefs;
  poolers: readonly PoolerRefs[];
  /** Whoever waits for `ready` waits for these too. */
  after: readonly pulumi.Resource[];
}

/** Seconds that an invocation may take: the most that Lambda lets anything run, but for what comes every minute. */
const TIMEOUT: Record<LambdaCommand, number> = { configure: 900, migrate: 900, move: 900, metrics: 55 };
/** MiB; CPU comes with memory. */
const MEMORY = 1024;
const RETENTION = 365;
/** Seconds after which an event of a schedule is no longer run; the least that AWS takes. */
const YOUNG = 60;
/** Commands that need the application's SQL. */
const APPLICATION: readonly LambdaCommand[] = ["migrate", "move"];
/** Commands that run by themselves. */
const EVERY_MINUTE: readonly LambdaCommand[] = ["move", "metrics"];

/**
 * The agent as Lambda functions in the VPC, one a command.
 * `configure` and `migrate` run in an `up` whenever what they depend on changes. An invocation is replaced, never updated: one that fails is
 * not in the state, so the next `up` runs it again, and its message is in the output of `up`. `move` and `metrics` run every minute.
 * What a change costs: nothing is replaced but invocations; databases and poolers do not notice.
 */
export class Agent extends pulumi.ComponentResource {
  readonly refs: AgentRefs;
  readonly #args: AgentArgs;

  constructor(name: string, args: AgentArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Agent", name, {}, { ...options, provider: args.place.provider });
    this.#args = args;
    const packages = packagesOf(args.schema);
    const contents = (command: LambdaCommand): Contents => (APPLICATION.includes(command) ? packages.application : packages.common);
    const all = this.#event();
    const made = Object.fromEntries(
      LAMBDA_COMMANDS.map((command) => {
        const input = all.apply((event) => JSON.stringify(eventOf(command, event)));
        return [command, { function: this.#function(command, contents(command)), input, hash: hashOf(contents(command)) }];
      }),
    ) as Record<LambdaCommand, Command>;

    const versions = pulumi.all(SECRETS_OF.configure.map((role) => args.secrets.roles[role]!.versionId));
    const configured = this.#invocation("configure", made.configure, { secrets: versions.apply((ids) => digest(ids.join())) }, []);
    const migrated = this.#invocation("migrate", made.migrate, {}, [configured]);
    const role = schedulerRole(
      EVERY_MINUTE.map((command) => made[command].function),
      args,
      this,
    );
    for (const command of EVERY_MINUTE) this.#schedule(command, made[command], role, configured);
    this.refs = {
      ready: pulumi.all([migrated.result, ...args.after.map(({ urn }) => urn)]).apply(() => true),
      functionNames: Object.fromEntries(LAMBDA_COMMANDS.map((command) => [command, this.#named(command)])),
    };
    this.registerOutputs({ ready: this.refs.ready });
  }

  #named = (command: LambdaCommand): string => this.#args.naming(partOf(command), 64);

  /** What commands are told. */
  #event(): pulumi.Output<Omit<LambdaEvent, "command">> {
    const { topology, release, database, secrets, poolers } = this.#args;
    const nodes = pulumi.all(
      database.nodes.map(({ name, cluster, identifier, role, host }) =>
        pulumi.output(host).apply((its) => ({ name, cluster, identifier, role, host: its })),
      ),
    );
    const arns = pulumi.all(Object.fromEntries(Object.entries(secrets.roles).map(([role, { arn }]) => [role, arn])));
    return pulumi.all([nodes, arns, secrets.caCertificate]).apply(([known, byRole, authority]) => ({
      desired: managedDesired(topology, known, PORTS.postgres),
      nodes: known,
      poolers: poolers.map(({ region, autoScalingGroupName, host }) => ({
        ...{ region, host, group: autoScalingGroupName },
        processes: topology.pooling.processes,
        adminPort: PORTS.admin,
      })),
      authority,
      release,
      secrets: byRole,
    }));
  }

  #function(command: LambdaCommand, contents: Contents): aws.lambda.Function {
    const { place, tags } = this.#args;
    const part = partOf(command);
    const group = new aws.cloudwatch.LogGroup(
      part,
      { name: `/aws/lambda/${this.#named(command)}`, retentionInDays: RETENTION, kmsKeyId: place.kmsKeyArn, tags: tags(part) },
      { parent: this },
    );
    const { role, policy } = functionRole(command, { ...this.#args, functionName: this.#named(command), logGroupArn: group.arn }, this);
    return new aws.lambda.Function(
      part,
      {
        name: this.#named(command),
        description: `pgladder: the agent's command ${command}`,
        runtime: RUNTIME,
        architectures: ["x86_64"],
        handler: "agent.handler",
        code: archiveOf(contents),
        role: role.arn,
        memorySize: MEMORY,
        timeout: TIMEOUT[command],
        // One at a time; the others too are kept apart by advisory locks.
        ...(command === "move" ? { reservedConcurrentExecutions: 1 } : {}),
        vpcConfig: { subnetIds: [...place.privateSubnetIds], securityGroupIds: [place.securityGroups.agent] },
        loggingConfig: { logFormat: "Text", logGroup: group.name },
        tags: tags(part),
      },
      // Without its rights a function cannot get into the VPC.
      { parent: this, dependsOn: [policy] },
    );
  }

  /** Runs a command when its package, its event or one of `more` changes. */
  #invocation(
    command: LambdaCommand,
    { function: its, input, hash }: Command,
    more: Record<string, pulumi.Input<string>>,
    dependsOn: pulumi.Resource[],
  ): aws.lambda.Invocation {
    return new aws.lambda.Invocation(
      partOf(command),
      { functionName: its.name, input, lifecycleScope: "CREATE_ONLY", triggers: { package: hash, event: input.apply(digest), ...more } },
      { parent: this, dependsOn },
    );
  }

  #schedule(command: LambdaCommand, { function: its, input }: Command, role: aws.iam.Role, after: pulumi.Resource): void {
    const part = partOf(command);
    // Lambda would keep for hours what it has no room for, and run it when something else is wanted long since.
    const young = new aws.lambda.FunctionEventInvokeConfig(
      part,
      { functionName: its.name, maximumRetryAttempts: 0, maximumEventAgeInSeconds: YOUNG },
      { parent: this },
    );
    new aws.scheduler.Schedule(
      part,
      {
        name: this.#named(command),
        description: `pgladder: the agent's command ${command}`,
        scheduleExpression: "rate(1 minute)",
        flexibleTimeWindow: { mode: "OFF" },
        // A run that was missed is not made up for: the next one comes in a minute.
        target: { arn: its.arn, roleArn: role.arn, input, retryPolicy: { maximumRetryAttempts: 0, maximumEventAgeInSeconds: YOUNG } },
      },
      // There is no role to log in with before.
      { parent: this, dependsOn: [after, young] },
    );
  }
}

interface Command {
  function: aws.lambda.Function;
  /** The event as JSON. */
  input: pulumi.Output<string>;
  /** Of the package. */
  hash: string;
}

const partOf = (command: LambdaCommand): string => `agent-${command}`;
const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
