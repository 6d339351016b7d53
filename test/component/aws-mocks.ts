/** Runs parts of the AWS target under Pulumi's mocks and records every resource: arguments, options, provider, secrets. */
import * as pulumi from "@pulumi/pulumi";
import { vi } from "vitest";
import { type LastOutputs, plan, toOutputs } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";

// A run of the whole target takes a second, and many times that where other tests want the same cores.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** One resource that a program asked for. */
export interface Made {
  type: string;
  name: string;
  /** Arguments, secrets in clear. */
  args: Readonly<Record<string, unknown>>;
  /** Names of the arguments that are or hold a secret. */
  secret: readonly string[];
  /** Name of the explicit provider; undefined for the default one. */
  provider: string | undefined;
  parent: string | undefined;
  protect: boolean;
  ignoreChanges: readonly string[];
  retainOnDelete: boolean;
  customTimeouts: pulumi.CustomTimeouts | undefined;
  /** What it was told to wait for, as short type and name. */
  dependsOn: readonly string[];
}

export interface RunOptions {
  project?: string;
  stack?: string;
  /** What the stack exported last time. */
  last?: LastOutputs | undefined;
  /** What look-ups answer, by token: over those of `CALLS`. */
  calls?: Readonly<Record<string, (inputs: Record<string, unknown>) => Record<string, unknown>>>;
}

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const isWrapped = (value: unknown): value is { value: unknown } => typeof value === "object" && value !== null && SIGNATURE in value;

function plain(value: unknown): unknown {
  if (isWrapped(value)) return plain(value.value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
  return value;
}

const holdsSecret = (value: unknown): boolean =>
  isWrapped(value) || (typeof value === "object" && value !== null && Object.values(value).some(holdsSecret));

export const ACCOUNT = "123456789012";

/** What AWS knows when asked: three zones in every region, one account, and the subnets and VPC that tests name. */
const CALLS: NonNullable<RunOptions["calls"]> = {
  "aws:index/getCallerIdentity:getCallerIdentity": () => ({ accountId: ACCOUNT }),
  "aws:index/getAvailabilityZones:getAvailabilityZones": () => ({ names: ["zone-c", "zone-a", "zone-d", "zone-b"] }),
  "aws:ecr/getAuthorizationToken:getAuthorizationToken": () => ({ userName: "AWS", password: "login" }),
  "aws:route53/getZone:getZone": ({ zoneId }) => ({ zoneId, name: "pgladder.internal", privateZone: true }),
  "aws:ec2/getVpc:getVpc": () => ({ cidrBlock: "172.16.0.0/16" }),
  "aws:ec2/getSubnet:getSubnet": ({ id }) => ({ id, availabilityZone: `zone-${String(id).at(-1)}` }),
};

/** What AWS computes, by type. */
function computed(type: string, name: string, inputs: Record<string, unknown>, region: string): Record<string, unknown> {
  const [, service = ""] = /^aws:(\w+)\//.exec(type) ?? [];
  const arn = `arn:aws:${service}:${region}:${ACCOUNT}:${name}`;
  switch (type) {
    case "random:index/randomPassword:RandomPassword":
      return { result: `secret-${name}` };
    case "random:index/randomId:RandomId":
      return { hex: "0a1b2c3d" };
    case "tls:index/privateKey:PrivateKey":
      return { privateKeyPem: `private-${name}\n` };
    case "tls:index/certRequest:CertRequest":
      return { certRequestPem: `request-${name}\n` };
    case "tls:index/selfSignedCert:SelfSignedCert":
    case "tls:index/locallySignedCert:LocallySignedCert":
      return { certPem: `certificate-${name}\n` };
    case "aws:rds/instance:Instance":
      return {
        arn: `arn:aws:rds:${region}:${ACCOUNT}:db:${inputs.identifier}`,
        address: `${inputs.identifier}.rds.test`,
        resourceId: `db-${name}`,
        availabilityZone: inputs.availabilityZone ?? "zone-b",
      };
    case "aws:secretsmanager/secret:Secret":
      return { arn: `arn:aws:secretsmanager:${region}:${ACCOUNT}:secret:${inputs.name}-AbCdEf` };
    case "aws:secretsmanager/secretVersion:SecretVersion":
      return { versionId: `version-of-${name}` };
    case "aws:lb/loadBalancer:LoadBalancer":
      return { arn, arnSuffix: `net/${inputs.name}/1a2b`, dnsName: `${inputs.name}.elb.test`, zoneId: "ZELB" };
    case "aws:lb/targetGroup:TargetGroup":
      return { arn, arnSuffix: `targetgroup/${inputs.name}/3c4d` };
    case "aws:ec2/launchTemplate:LaunchTemplate":
      return { arn, latestVersion: 3 };
    case "aws:route53/zone:Zone":
      return { arn, zoneId: "ZMADE" };
    case "aws:ecr/repository:Repository":
      return { arn, repositoryUrl: `registry.test/${inputs.name}`, registryId: ACCOUNT };
    case "docker:index/image:Image":
      return { repoDigest: `registry.test/${name}@sha256:0123` };
    case "aws:rds/proxy:Proxy":
      return { arn, endpoint: `${inputs.name}.proxy.test` };
    case "aws:elasticache/replicationGroup:ReplicationGroup":
      return { arn, configurationEndpointAddress: `clustercfg.${inputs.replicationGroupId}.cache.test` };
    case "aws:kms/key:Key":
      return { arn, keyId: `id-of-${name}` };
    default:
      return service === "" ? {} : { arn };
  }
}

interface Options {
  parent?: string | undefined;
  protect: boolean;
  ignoreChanges: readonly string[];
  retainOnDelete: boolean;
  customTimeouts: pulumi.CustomTimeouts | undefined;
  dependsOn: readonly string[];
}

/**
 * Runs `build` under mocks and waits until everything that it asked for is made.
 * @param build gets options to hand to the component that it makes, so that options can be seen
 */
export async function recorded(build: (options: pulumi.ComponentResourceOptions) => unknown, run: RunOptions = {}): Promise<Made[]> {
  const made: Omit<Made, keyof Options>[] = [];
  const options = new Map<string, Options>();
  const names = new Map<pulumi.Resource, string>();
  const types = new Map<pulumi.Resource, string>();
  const calls = { ...CALLS, ...run.calls };
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs, provider }) => {
        const [, of] = /::([^:]+)::[^:]*$/.exec(provider ?? "") ?? [];
        const args = plain(inputs) as Record<string, unknown>;
        const secret = Object.entries(inputs as object).flatMap(([key, value]) => (holdsSecret(value) ? [key] : []));
        made.push({ type, name, args, secret, provider: of });
        return { id: `${name}-id`, state: { ...inputs, ...computed(type, name, args, of?.replace(/^aws-/, "") ?? "nowhere") } };
      },
      call: ({ token, inputs }) => {
        const answer = calls[token];
        if (!answer) throw new Error(`look-up ${token}: got no answer, want one in CALLS`);
        return answer(inputs as Record<string, unknown>);
      },
    },
    run.project ?? "pgladder",
    run.stack ?? "dev",
    false,
    "organization",
  );
  const look: pulumi.ResourceTransformation = ({ type, name, resource, opts }) => {
    names.set(resource, name);
    types.set(resource, shortType(type));
    const before = [opts.dependsOn ?? []].flat() as readonly pulumi.Resource[];
    const { ignoreChanges = [], retainOnDelete = false, customTimeouts } = opts as pulumi.CustomResourceOptions;
    options.set(`${type} ${name}`, {
      parent: opts.parent && names.get(opts.parent),
      protect: opts.protect ?? false,
      ignoreChanges,
      retainOnDelete,
      customTimeouts,
      dependsOn: before.map((each) => `${types.get(each)} ${names.get(each)}`),
    });
    return undefined;
  };
  // Pulumi takes a stack trace for every promise, which is half of a run's time.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    build({ transformations: [look] });
  } finally {
    // What was asked for before a refusal is still on its way, and would end up with the next run's mocks.
    await pulumi.runtime.disconnect();
    Error.stackTraceLimit = stackTraceLimit;
  }
  return made.map((each) => {
    const seen = options.get(`${each.type} ${each.name}`);
    if (!seen) throw new Error(`${each.type} ${each.name}: got no options, want it below the component that was given them`);
    return { ...each, parent: undefined, ...seen };
  });
}

const planned = (given: Given, { stack = "dev", last }: RunOptions) => {
  const config = parse({ target: "aws", ...given }, stack);
  return { stack, config, last, topology: plan(config, last, { cores: 8, memory: gib(64) }) };
};

/** What the runs before would have left. */
export const left = (...given: Given[]): LastOutputs | undefined =>
  given.reduce<LastOutputs | undefined>((last, each) => toOutputs(planned(each, { last }).topology), undefined);

/** Builds regions and databases alone, which takes a fifth of the time of the whole target. */
export async function runDatabase(given: Given, run: RunOptions = {}): Promise<Made[]> {
  const { Database } = await import("../../components/aws/database.ts");
  const { makePlaces } = await import("../../components/aws/places.ts");
  const { namingOf, taggingOf } = await import("../../components/aws/names.ts");
  const { stack, config, last, topology } = planned(given, run);
  const project = run.project ?? "pgladder";
  const common = { stack, naming: namingOf(project, stack), tags: taggingOf(project, stack), protect: config.protect };
  return recorded((options) => {
    const top = new pulumi.ComponentResource("test:index:Top", "top", {}, options);
    const { vpcId, subnetIds, kmsKeyArn } = config.aws;
    const existing = { vpc: vpcId !== null && subnetIds !== null ? { vpcId, subnetIds } : null, kmsKeyArn };
    const places = makePlaces({ ...common, topology, existing, gateways: 1 }, top);
    const { retentionDays } = config.backup;
    new Database(
      "database",
      { ...common, topology, places, password: "password", retentionDays, lastVersion: last?.postgresVersion },
      { parent: top },
    );
  }, run);
}

/** Builds the whole target as `index.ts` does, from a configuration as an operator writes it. */
export async function runAws(given: Given, run: RunOptions = {}): Promise<Made[]> {
  return (await runTarget(given, run)).made;
}

const known = new Map<string, ReturnType<typeof buildTarget>>();

/** As `runAws`, once in a file for the same arguments. @returns the stack's outputs too, in clear, and which of them are secret */
export function runTarget(given: Given, run: RunOptions = {}): ReturnType<typeof buildTarget> {
  if (run.calls) return buildTarget(given, run);
  const key = JSON.stringify([given, run]);
  const running = known.get(key) ?? buildTarget(given, run);
  known.set(key, running);
  return running;
}

async function buildTarget(given: Given, run: RunOptions) {
  const { AwsTarget } = await import("../../components/aws/index.ts");
  const { outputs } = await import("../../components/outputs.ts");
  const { stack, config, last, topology } = planned(given, run);
  const schema = { "0001_notes.sql": "create table notes (id int);\n" };
  let exported: Record<string, unknown> = {};
  const made = await recorded((options) => {
    exported = outputs(topology, new AwsTarget(stack, { config, topology, last, schema }, options));
  }, run);
  const settling = Object.entries(exported).map(async ([key, value]) => {
    const output: pulumi.Output<unknown> = pulumi.output(value);
    return [key, await new Promise((resolve) => output.apply(resolve)), await pulumi.isSecret(output)] as const;
  });
  const all = await Promise.all(settling);
  return {
    made,
    outputs: Object.fromEntries(all.map(([key, value]) => [key, value])),
    secret: all.flatMap(([key, , is]) => (is ? [key] : [])),
  };
}

/** The short type: `rds.Instance`, `random.RandomId`, `Network` of a component. */
export function shortType(type: string): string {
  const [pkg = "", module = "", kind = ""] = type.split(":");
  if (pkg === "pgladder") return kind;
  return `${pkg === "aws" ? module.split("/")[0] : pkg}.${kind}`;
}

export const ofType = (made: readonly Made[], type: string): readonly Made[] => made.filter((each) => shortType(each.type) === type);

/** The one resource of this type and name. */
export function the(made: readonly Made[], type: string, name: string): Made {
  const found = ofType(made, type).filter((each) => each.name === name);
  if (found.length !== 1) throw new Error(`${type} ${name}: got ${found.length}, want 1 of ${ofType(made, type).map((m) => m.name)}`);
  return found[0]!;
}
