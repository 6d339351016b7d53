import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { LocalWorkspace, type PulumiFn, type Stack } from "@pulumi/pulumi/automation/index.js";
import { failOnLostEngine } from "../../cli/lost-engine.ts";

export interface Plugins {
  readonly kind: "stand-in" | "real";
  readonly folder: string;
}

const given = process.env.PGLADDER_REAL_PLUGINS;

/** The plugins to hold against the same expectations: ours always, Pulumi's own when PGLADDER_REAL_PLUGINS names their folder. */
export const PLUGINS: readonly Plugins[] = [
  { kind: "stand-in", folder: resolve("offline/bin") },
  ...(given === undefined ? [] : [{ kind: "real" as const, folder: resolve(given) }]),
];

if (given === undefined) console.log("not run: real plugins not given (PGLADDER_REAL_PLUGINS=<folder>)");

/** What an update would do to one resource, and because of which inputs. */
export type Plan = Record<string, string>;

export interface Recorded {
  readonly id: string;
  readonly inputs: Record<string, unknown>;
  readonly outputs: Record<string, unknown>;
  readonly initErrors: readonly string[];
}

const STEPS = new Set(["create", "update", "replace", "delete"]);

failOnLostEngine();

/**
 * Runs an operation again, at most twice, when the client could not reach the engine that it had just started: in a process that has run
 * many stacks, a port can come round again for which the gRPC client still remembers a dead peer.
 */
export async function reaching<Result>(work: () => Promise<Result>, attempts = 3): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const unreachable = /No connection established|Resource monitor is terminating/.test(String(error));
    if (!unreachable || attempts === 1) throw error;
    return await reaching(work, attempts - 1);
  }
}

/** A stack of its own, in a folder of its own, on the real engine with the given plugins. */
export class Bench {
  readonly prefix: string;
  readonly #folder: string;
  readonly #stack: Stack;

  private constructor(folder: string, stack: Stack, prefix: string) {
    this.#folder = folder;
    this.#stack = stack;
    this.prefix = prefix;
  }

  static async open(plugins: Plugins, name: string): Promise<Bench> {
    const folder = mkdtempSync(join(tmpdir(), "pgladder-providers-"));
    const stack = await LocalWorkspace.createOrSelectStack(
      { stackName: name, projectName: "providers", program: async () => {} },
      {
        workDir: folder,
        envVars: {
          PATH: `${plugins.folder}:${process.env.PATH}`,
          PULUMI_HOME: join(folder, "home"),
          PULUMI_BACKEND_URL: `file://${folder}`,
          PULUMI_CONFIG_PASSPHRASE: "test",
          PULUMI_SKIP_UPDATE_CHECK: "true",
        },
      },
    );
    return new Bench(folder, stack, `pgladder-test-${plugins.kind}-${process.pid}-${name}`);
  }

  /** @returns the outputs, secrets in clear. */
  async up(program: PulumiFn): Promise<Record<string, unknown>> {
    const { outputs } = await reaching(() => this.#stack.up({ program }));
    return Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, output.value]));
  }

  /** Runs an update that has to fail. @returns everything it printed. */
  async failingUp(program: PulumiFn): Promise<string> {
    try {
      await reaching(() => this.#stack.up({ program }));
    } catch (error) {
      return String(error);
    }
    throw new Error("got an update that succeeded, want one that fails");
  }

  /** @returns the failure's text when the program is refused, else what would change: resource -> "operation input input". */
  async plan(program: PulumiFn): Promise<Plan | string> {
    const plan: Plan = {};
    try {
      await reaching(() =>
        this.#stack.preview({
          program,
          onEvent: ({ resourcePreEvent: event }) => {
            if (event === undefined || !STEPS.has(event.metadata.op) || event.metadata.type.startsWith("pulumi:")) return;
            const inputs = Object.keys(event.metadata.detailedDiff ?? {}).map((path) => path.replace(/[.[].*/, ""));
            plan[event.metadata.urn.split("::").pop() ?? ""] = [event.metadata.op, ...[...new Set(inputs)].sort()].join(" ");
          },
        }),
      );
      return plan;
    } catch (error) {
      return String(error);
    }
  }

  /** The plan without its reasons: the newer kind of real plugin does not give them. */
  async operations(program: PulumiFn): Promise<Plan | string> {
    const plan = await this.plan(program);
    return typeof plan === "string"
      ? plan
      : Object.fromEntries(Object.entries(plan).map(([name, step]) => [name, step.split(" ")[0] ?? ""]));
  }

  async refresh(): Promise<void> {
    await this.#stack.refresh();
  }

  /** What the state file holds of one resource, secrets encrypted. */
  async recorded(name: string): Promise<Recorded | undefined> {
    const { deployment } = await this.#stack.exportStack();
    const resources = (deployment.resources ?? []) as (Partial<Recorded> & { urn: string })[];
    const found = resources.find(({ urn }) => urn.endsWith(`::${name}`));
    return found && { id: found.id ?? "", inputs: found.inputs ?? {}, outputs: found.outputs ?? {}, initErrors: found.initErrors ?? [] };
  }

  async destroy(): Promise<void> {
    await this.#stack.destroy();
  }

  /** Ends the bench: what the tests left in the engine goes too, whether they passed or not. */
  async close(): Promise<void> {
    await this.#stack.destroy().catch(() => undefined);
    const leftovers = docker("ps", "-aq", "--filter", `name=${this.prefix}`);
    if (leftovers !== "") docker("rm", "-f", ...leftovers.split("\n"));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Runs the Docker client. @returns what it printed, trimmed. */
export function docker(...parameters: string[]): string {
  return execFileSync("docker", parameters, { encoding: "utf8" }).trim();
}
