/** Runs the program under Pulumi's mocks and records what it asks for: every resource with its arguments, parent and protection. */
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, vi } from "vitest";
import type { LastOutputs } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";

// Without Docker: no container of this stack is there yet. And the agent is not bundled.
vi.mock("dockerode", () => ({
  default: class {
    getContainer() {
      return { inspect: () => Promise.reject(Object.assign(new Error("no such container"), { statusCode: 404 })) };
    }
  },
}));
vi.mock("esbuild", () => ({ buildSync: () => undefined }));
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  return { ...real, cpSync: () => undefined, rmSync: () => undefined };
});

/** The folder that the program takes for the state folder. */
export const STATE = mkdtempSync(join(tmpdir(), "pgladder-mocks-"));
process.env.PGLADDER_STATE = STATE;
afterAll(() => rm(STATE, { recursive: true, force: true }));

export interface Made {
  type: string;
  name: string;
  /** Arguments, secrets in clear. */
  args: Readonly<Record<string, unknown>>;
  /** Names of the arguments that are or hold a secret. */
  secret: readonly string[];
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

/** What the mocked providers answer, by type; passwords and keys say whose they are. */
function answer(type: string, name: string, failing: Readonly<Record<string, string>>): Record<string, unknown> {
  switch (type) {
    case "random:index/randomPassword:RandomPassword":
      return { result: `secret-${name}` };
    case "random:index/randomId:RandomId":
      return { hex: "0123456789abcdef" };
    case "docker:index/image:Image":
      return { repoDigest: `${name}@sha256:1` };
    case "docker:index/container:Container":
      return { exitCode: name in failing ? 1 : 0, containerLogs: failing[name] ?? "" };
    case "tls:index/privateKey:PrivateKey":
      return { privateKeyPem: `private-${name}\n` };
    case "tls:index/certRequest:CertRequest":
      return { certRequestPem: `request-${name}\n` };
    case "tls:index/selfSignedCert:SelfSignedCert":
    case "tls:index/locallySignedCert:LocallySignedCert":
      return { certPem: `certificate-${name}\n` };
    default:
      return {};
  }
}

export interface RunOptions {
  /** What the stack exported last time. */
  last?: LastOutputs | undefined;
  /** Tasks that end with 1, and their logs. */
  failing?: Readonly<Record<string, string>>;
}

function mocks(options: RunOptions): Made[] {
  const made: Made[] = [];
  pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs }) => {
        if (type === "pulumi:pulumi:StackReference")
          return { id: name, state: { name, outputs: options.last ? { topology: options.last } : {}, secretOutputNames: [] } };
        const entries = Object.entries(inputs as Record<string, unknown>);
        made.push({
          type,
          name,
          args: plain(inputs) as Record<string, unknown>,
          secret: entries.filter(([, value]) => holdsSecret(value)).map(([key]) => key),
        });
        return { id: `${name}-id`, state: { ...inputs, ...answer(type, name, options.failing ?? {}) } };
      },
      call: () => ({}),
    },
    "pgladder",
    "dev",
    false,
    "organization",
  );
  return made;
}

/** Runs one task alone, whose container ends with `code`. @returns its id when it ended well, else why it did not. */
export async function runTask(failing: Readonly<Record<string, string>>): Promise<string> {
  mocks({ failing });
  const { task } = await import("../../components/docker/container.ts");
  const done = task(
    { stack: "dev", network: "net", owner: "own" },
    { part: "agent-migrate", image: "image", command: ["migrate"], uploads: [], volumes: [], uid: 7432, triggers: {} },
    {},
  );
  // An output is several promises, and each of them fails: one that nobody looks at would end the process.
  const { isKnown, isSecret, ...rest } = done as unknown as Inside;
  const [result] = await Promise.allSettled([rest.promise(), isKnown, isSecret, rest.allResources()]);
  return result.status === "fulfilled" ? String(result.value) : (result.reason as Error).message;
}

/** What an output is made of, below its types. */
interface Inside {
  isKnown: Promise<boolean>;
  isSecret: Promise<boolean>;
  promise(): Promise<unknown>;
  allResources(): Promise<unknown>;
}

const settle = (value: unknown): Promise<unknown> => (pulumi.output(value) as unknown as Inside).promise();

/** Runs `index.ts` with this configuration. @returns its outputs in clear, which of them are secret, and what it made. */
export async function runProgram(given: Given, options: RunOptions = {}) {
  const made = mocks(options);
  const raw = Object.entries(given).map(([key, value]) => [`pgladder:${key}`, typeof value === "string" ? value : JSON.stringify(value)]);
  pulumi.runtime.setAllConfig(Object.fromEntries(raw));
  const { default: program } = await import("../../index.ts");
  const outputs = await program();
  const known = await Promise.all(Object.entries(outputs).map(async ([key, value]) => [key, await settle(value)] as const));
  const secret = await Promise.all(
    Object.entries(outputs).map(async ([key, value]) => ((await pulumi.isSecret(pulumi.output(value))) ? [key] : [])),
  );
  return { outputs: Object.fromEntries(known), secret: secret.flat(), made };
}

export interface Placed extends Made {
  /** Name of the parent; undefined for the target itself. */
  parent: string | undefined;
  protect: boolean;
}

/** Builds the docker target alone, so that parents and protection can be seen. */
export async function runTarget(given: Given, options: RunOptions = {}): Promise<Placed[]> {
  const made = mocks(options);
  const places = new Map<string, { parent: string | undefined; protect: boolean }>();
  const names = new Map<pulumi.Resource, string>();
  const { DockerTarget } = await import("../../components/docker/index.ts");
  const { plan } = await import("../../plan/topology.ts");
  const config = parse(given);
  const topology = plan(config, options.last, { cores: 8, memory: gib(64) });
  const record: pulumi.ResourceTransformation = ({ type, name, resource, opts }) => {
    names.set(resource, name);
    places.set(`${type} ${name}`, { parent: opts.parent && names.get(opts.parent), protect: opts.protect ?? false });
    return undefined;
  };
  const args = { config, topology, last: options.last, schema: { "0001_notes.sql": "create table notes (id int);\n" } };
  const target = new DockerTarget("dev", args, { transformations: [record] });
  await settle(target.ready);
  await pulumi.runtime.disconnect();
  return made.map((each) => ({ ...each, ...(places.get(`${each.type} ${each.name}`) ?? { parent: undefined, protect: false }) }));
}
