/**
 * A stack of its own for tests: the real program on the real engine and the real Docker, with state and configuration in a temporary
 * folder. Needs `pulumi` and the plugins on the PATH, or a ready machine (`bin/setup`), whose PATH it takes.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import pg from "pg";
import type { MoverStatus } from "../../cli/mover.ts";
import type { Change } from "../../cli/progress.ts";
import type { Opened, Overrides } from "../../cli/stack.ts";

const ROOT = join(import.meta.dirname, "../..");
/** One gigabyte a node carries 26 server connections: few enough for a machine that does other work as well. */
const SMALL: Overrides = {
  primary: JSON.stringify({ memory: "1GB" }),
  pooler: JSON.stringify({ defaultPoolSize: 8, minPoolSize: 2, reservePoolSize: 2, sessionPoolSize: 4 }),
};

export interface TestStackOptions {
  /** Ends the names of everything that the stack makes; `t-` is put in front. */
  name: string;
  port: number;
  /** Configuration as `pulumi config set` takes it, beside the port and small machines. */
  config?: Overrides;
  /** Migrations: file content by path. @default the example application's */
  schema?: Readonly<Record<string, string>>;
}

/** The modules that read their folders from the environment when they are loaded: only after it is set. */
async function modules() {
  const [stack, operate, mover, engine, state] = await Promise.all([
    import("../../cli/stack.ts"),
    import("../../cli/operate.ts"),
    import("../../cli/mover.ts"),
    import("../../cli/engine.ts"),
    import("../../cli/state.ts"),
  ]);
  return { ...stack, ...operate, ...mover, ...engine, ...state };
}

function findPulumi(): void {
  const there = (process.env.PATH ?? "").split(":").some((folder) => existsSync(join(folder, "pulumi")));
  const file = join(ROOT, ".state/env.sh");
  if (there) return;
  if (!existsSync(file)) throw new Error("PATH: got no pulumi on it, want a machine that is ready: run bin/setup");
  process.env.PATH = execFileSync("bash", ["-c", `source "$1" && printf %s "$PATH"`, "-", file], { encoding: "utf8" });
}

export class TestStack {
  readonly name: string;
  readonly port: number;
  readonly folder: string;
  readonly #loaded: Awaited<ReturnType<typeof modules>>;
  /** Everything that the engine and the mover said, for a failure's reader. */
  readonly said: string[] = [];

  private constructor(name: string, port: number, folder: string, loaded: Awaited<ReturnType<typeof modules>>) {
    this.name = name;
    this.port = port;
    this.folder = folder;
    this.#loaded = loaded;
  }

  static async open({ name: short, port, config = {}, schema }: TestStackOptions): Promise<TestStack> {
    findPulumi();
    const folder = mkdtempSync(join(tmpdir(), "pgladder-stack-"));
    for (const key of ["PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"]) delete process.env[key];
    process.env.PGLADDER_STATE = join(folder, "state");
    process.env.PGLADDER_CONFIG = folder;
    const name = `t-${short}`;
    const stack = new TestStack(name, port, folder, await modules());
    await stack.#removeLeftovers();
    if (schema) for (const [path, text] of Object.entries(schema)) stack.writeSql(path, text);
    const own: Overrides = schema ? { schema: relative(ROOT, stack.schema) } : {};
    stack.configure({ port: String(port), ...SMALL, ...own, ...config });
    return stack;
  }

  /** Folder of the stack's own migrations. */
  get schema(): string {
    return join(this.folder, "sql");
  }

  writeSql(path: string, text: string): void {
    const file = join(this.schema, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  configure(values: Overrides): void {
    this.#loaded.writeConfig(this.name, values);
  }

  #say = (line: string): void => {
    this.said.push(line);
    if (process.env.PGLADDER_TEST_TALK) console.log(`${this.name}: ${line}`);
  };

  opened(overrides: Overrides = {}): Promise<Opened> {
    return this.#loaded.openStack(this.name, { create: true, overrides });
  }

  /**
   * `pulumi up` with the configuration changed first.
   *
   * @param once values for this run only
   * @returns what changed
   */
  async up(values: Overrides = {}, once: Overrides = {}): Promise<readonly Change[]> {
    this.configure(values);
    return this.#loaded.operate(await this.opened(once), "up", { say: this.#say });
  }

  /** `up`, then waiting until the mover has nothing left to do. */
  async climb(values: Overrides = {}, once: Overrides = {}): Promise<readonly Change[]> {
    const changes = await this.up(values, once);
    await this.settled();
    return changes;
  }

  /** The message of an `up` that must not succeed. */
  async failingUp(values: Overrides = {}): Promise<string> {
    const changes = await this.up(values).catch((error: Error) => error);
    if (changes instanceof Error) return changes.message;
    throw new Error(`up: got ${changes.length} changes and success, want a failure`);
  }

  /** What the next `up` would change. */
  async preview(): Promise<readonly Change[]> {
    return this.#loaded.operate(await this.opened(), "preview", { say: this.#say });
  }

  status(): Promise<MoverStatus> {
    return this.#loaded.runningOn("docker", this.name).status();
  }

  settled(): Promise<MoverStatus> {
    return this.#loaded.untilSettled(this.#loaded.runningOn("docker", this.name), this.#say);
  }

  /** The stack's outputs, secrets in clear. */
  async outputs(): Promise<Record<string, unknown>> {
    const outputs = await (await this.opened()).stack.outputs();
    return Object.fromEntries(Object.entries(outputs).map(([key, { value }]) => [key, value]));
  }

  async url(kind: "write" | "read" | "session"): Promise<string> {
    return String((await this.outputs())[`${kind}Url`]);
  }

  /** One statement through a URL, which is all that the driver is told. */
  async query<Row extends pg.QueryResultRow>(url: string, sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    const client = new pg.Client(url);
    await client.connect();
    try {
      return (await client.query<Row>(sql, [...values])).rows;
    } finally {
      await client.end();
    }
  }

  async exec(part: string, command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#loaded.execIn(this.container(part), command);
    if (code !== 0) throw new Error(`${part}: ${command.join(" ")}: ended with ${code}: ${stderr}`);
    return stdout.trim();
  }

  container(part: string): string {
    return `pgladder-${this.name}-${part}`;
  }

  get docker() {
    return this.#loaded.engine;
  }

  /** Id and start of each container of the stack that runs. */
  async running(): Promise<Readonly<Record<string, { id: string; startedAt: string }>>> {
    const list = await this.docker.listContainers({ filters: this.#label });
    const looks = await Promise.all(list.map(({ Id }) => this.docker.getContainer(Id).inspect()));
    const prefix = this.container("");
    return Object.fromEntries(looks.map((at) => [at.Name.slice(1 + prefix.length), { id: at.Id, startedAt: at.State.StartedAt }]));
  }

  /** Names of the stack's data volumes that are there, without the stack's prefix. */
  async dataVolumes(): Promise<string[]> {
    const { Volumes } = await this.docker.listVolumes({ filters: this.#label });
    const prefix = this.container("data-");
    return Volumes.flatMap(({ Name }) => (Name.startsWith(prefix) ? [Name.slice(prefix.length)] : [])).sort();
  }

  /** Text of every file below the state folder, where passwords must never be in clear. */
  stateFile(): string {
    return readFileSync(join(this.folder, `state/.pulumi/stacks/pgladder/${this.name}.json`), "utf8");
  }

  get #label() {
    return { label: [`pgladder.stack=${this.name}`] };
  }

  /** Takes the stack down with its data, whatever state it is in. */
  async destroy(): Promise<void> {
    try {
      const opened = await this.opened();
      const { resources, pending, write } = await this.#loaded.readState(opened.stack);
      if (pending.length > 0 || resources.some(({ protect }) => protect)) await write((resource) => ({ ...resource, protect: false }));
      await this.#loaded.operate(opened, "destroy", { say: this.#say });
    } finally {
      await this.#removeLeftovers();
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  async #removeLeftovers(): Promise<void> {
    const { docker } = this;
    const filters = this.#label;
    for (const { Id } of await docker.listContainers({ all: true, filters })) await docker.getContainer(Id).remove({ force: true });
    for (const { Name } of (await docker.listVolumes({ filters })).Volumes) await docker.getVolume(Name).remove();
    for (const { Id } of await docker.listNetworks({ filters })) await docker.getNetwork(Id).remove();
  }
}
