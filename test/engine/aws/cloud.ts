/**
 * An AWS account that is a JSON file, and stacks on the real Pulumi engine that believe in it: the stand-in `aws` plugin of ./provider is put
 * on the PATH in front of everything else. Needs `pulumi` on the PATH, or a ready machine (`bin/setup`).
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EngineEvent, LocalWorkspace, type PulumiFn, type Stack } from "@pulumi/pulumi/automation/index.js";
import { stringify } from "yaml";
import { failOnLostEngine } from "../../../cli/lost-engine.ts";
import { type Change, changeOf } from "../../../cli/progress.ts";
import { reaching } from "../providers-harness.ts";
import { Account, type Fault, type Thing } from "./provider/account.ts";

const ROOT = join(import.meta.dirname, "../../..");
const NODE = join(ROOT, "node_modules/.bin/node");

failOnLostEngine();

/** One change of one resource, of the engine's own kinds or not. */
export interface Step extends Change {
  /** The resource's type token. */
  readonly type: string;
}

/** Configuration as `pulumi config set` takes it, keys without `pgladder:`. */
export type Config = Readonly<Record<string, string>>;

/** The Automation API looks for the CLI on this process's own PATH. */
function findPulumi(): void {
  const path = process.env.PATH ?? "";
  if (path.split(":").some((folder) => existsSync(join(folder, "pulumi")))) return;
  const file = join(ROOT, ".state/env.sh");
  if (!existsSync(file)) throw new Error("PATH: got no pulumi on it, want a machine that is ready: run bin/setup");
  process.env.PATH = execFileSync("bash", ["-c", `source "$1" && printf %s "$PATH"`, "-", file], { encoding: "utf8" });
}

/** Plugins that know nothing of the account stay up for all operations: to start them takes longer than what is asked of them. */
const STANDING = {
  docker: join(import.meta.dirname, "provider/docker.ts"),
  random: join(ROOT, "offline/random/main.ts"),
  tls: join(ROOT, "offline/tls/main.ts"),
};

interface Standing {
  readonly name: string;
  readonly port: string;
  readonly plugin: ChildProcess;
}

/** Starts a plugin, which says its port. */
async function stand(name: string, main: string): Promise<Standing> {
  const plugin = spawn(NODE, [main], { stdio: ["ignore", "pipe", "inherit"] });
  process.once("exit", () => plugin.kill());
  const [said] = (await once(plugin.stdout, "data")) as [Buffer];
  return { name, port: said.toString().trim(), plugin };
}

/** The account, and the folder of everything that a test file makes. */
export class Cloud {
  readonly folder: string;
  readonly account: Account;

  readonly #standing: readonly Standing[];

  private constructor(folder: string, standing: readonly Standing[]) {
    this.folder = folder;
    this.account = new Account(folder);
    this.#standing = standing;
    const plugins = join(folder, "plugins");
    mkdirSync(plugins);
    const main = join(import.meta.dirname, "provider/main.ts");
    writeFileSync(join(plugins, "pulumi-resource-aws"), `#!/usr/bin/env bash\nexec "${NODE}" "${main}" "$@"\n`, { mode: 0o755 });
  }

  static async open(): Promise<Cloud> {
    findPulumi();
    const standing = await Promise.all(Object.entries(STANDING).map(([name, main]) => stand(name, main)));
    return new Cloud(mkdtempSync(join(tmpdir(), "pgladder-aws-")), standing);
  }

  get environment(): Record<string, string> {
    return {
      PATH: [join(this.folder, "plugins"), process.env.PATH].join(":"),
      PULUMI_DEBUG_PROVIDERS: this.#standing.map(({ name, port }) => `${name}:${port}`).join(","),
      PGLADDER_TEST_AWS: this.folder,
      PULUMI_HOME: join(this.folder, "home"),
      PULUMI_BACKEND_URL: `file://${this.folder}`,
      PULUMI_CONFIG_PASSPHRASE: "test",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      // The state is written at the end of an operation and not after each of several hundred steps.
      PULUMI_EXPERIMENTAL: "true",
      PULUMI_SKIP_CHECKPOINTS: "true",
      PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER: "true",
    };
  }

  /** Makes the next operations of a kind fail. */
  strike(...faults: readonly Fault[]): void {
    this.account.change((book) => book.faults.push(...faults));
  }

  /** Things of a type, by the end of its token, e.g. `Instance`. */
  things(kind: string): Thing[] {
    return this.account.read().things.filter(({ type }) => type.endsWith(`:${kind}`));
  }

  /** Puts something into the account that no stack made. */
  plant(...things: readonly Thing[]): void {
    this.account.change((book) => book.things.push(...things));
  }

  close(): void {
    for (const { plugin } of this.#standing) plugin.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A stack as it was, with the account around it. */
export interface Saved {
  readonly files: Readonly<Record<string, string>>;
}

export class CloudStack {
  readonly name: string;
  readonly #cloud: Cloud;
  readonly #stack: Stack;
  readonly #work: string;
  readonly #project: string;

  private constructor(name: string, project: string, cloud: Cloud, stack: Stack, work: string) {
    this.name = name;
    this.#project = project;
    this.#cloud = cloud;
    this.#stack = stack;
    this.#work = work;
  }

  /** @param program an inline program, for the project `test`. @default the repository's own, for the project `pgladder` */
  static async open(cloud: Cloud, name: string, program?: PulumiFn): Promise<CloudStack> {
    const project = program ? "test" : "pgladder";
    const work = join(cloud.folder, "work", name);
    mkdirSync(work, { recursive: true });
    writeFileSync(join(work, "Pulumi.yaml"), stringify({ name: project, runtime: "nodejs" }));
    writeFileSync(join(work, `Pulumi.${name}.yaml`), stringify({ config: { "aws:region": "us-east-1" } }));
    const own = async () => (await import("../../../index.ts")).default();
    const stack = await LocalWorkspace.createOrSelectStack(
      { stackName: name, projectName: project, program: program ?? own },
      { workDir: work, envVars: cloud.environment },
    );
    // After an update it would ask the CLI three times for what only `outputs` here reads.
    Object.assign(stack, { outputs: async () => ({}), info: async () => undefined });
    return new CloudStack(name, project, cloud, stack, work);
  }

  /** Replaces the stack's configuration. */
  configure(config: Config): void {
    const file = join(this.#work, `Pulumi.${this.name}.yaml`);
    const values = Object.entries(config).map(([key, value]) => [`pgladder:${key}`, value]);
    writeFileSync(file, stringify({ config: { "aws:region": "us-east-1", ...Object.fromEntries(values) } }));
  }

  /** What an update would do. */
  async preview(program?: PulumiFn): Promise<Step[]> {
    return this.#run((onEvent) => this.#stack.preview({ onEvent, ...(program ? { program } : {}) }));
  }

  /** @returns what was done */
  async up(program?: PulumiFn): Promise<Step[]> {
    return this.#run((onEvent) => this.#stack.up({ onEvent, ...(program ? { program } : {}) }));
  }

  /** As `pulumi destroy`: first looks ahead, which is where protection speaks. */
  async destroy(): Promise<Step[]> {
    await reaching(() => this.#stack.previewDestroy());
    return this.#run((onEvent) => this.#stack.destroy({ onEvent }));
  }

  /** Everything that an operation printed that has to fail. */
  async failing(operation: "preview" | "up" | "destroy", program?: PulumiFn): Promise<string> {
    const steps = await this[operation](program).catch((error: unknown) => String(error));
    if (typeof steps === "string") return steps;
    throw new Error(`${operation}: got success with ${steps.length} steps, want a failure`);
  }

  async outputs(): Promise<Record<string, unknown>> {
    return Object.fromEntries(
      Object.entries(await this.#stack.workspace.stackOutputs(this.name)).map(([name, { value }]) => [name, value]),
    );
  }

  /** Takes Pulumi's own protection off, as `pulumi state unprotect --all` does by hand. */
  async unprotect(): Promise<void> {
    const state = await this.#stack.exportStack();
    const resources = (state.deployment.resources ?? []) as { protect?: boolean }[];
    for (const resource of resources) resource.protect = false;
    await this.#stack.importStack(state);
  }

  /** The resources that the state protects, as `type name`. */
  async protected(): Promise<string[]> {
    const { deployment } = await this.#stack.exportStack();
    const resources = (deployment.resources ?? []) as { urn: string; type: string; protect?: boolean }[];
    return resources.flatMap(({ urn, type, protect }) => (protect ? [`${type} ${urn.split("::").pop()}`] : [])).sort();
  }

  /** The stack and the account as they are, for `restore`. */
  save(): Saved {
    return {
      files: Object.fromEntries(
        this.#files()
          .filter(existsSync)
          .map((file) => [file, readFileSync(file, "utf8")]),
      ),
    };
  }

  restore({ files }: Saved): void {
    for (const [file, text] of Object.entries(files)) writeFileSync(file, text);
  }

  #files(): string[] {
    return [join(this.#cloud.folder, "account.json"), join(this.#cloud.folder, `.pulumi/stacks/${this.#project}/${this.name}.json`)];
  }

  async #run(operation: (onEvent: (event: EngineEvent) => void) => Promise<unknown>): Promise<Step[]> {
    const steps: Step[] = [];
    await reaching(() => {
      steps.length = 0;
      return operation(({ resourcePreEvent: event }) => {
        const change = event && event.metadata.op !== "delete-replaced" ? changeOf(event.metadata) : undefined;
        if (event && change) steps.push({ ...change, type: event.metadata.type });
      });
    });
    return steps;
  }
}
