/** A stack of the rehearsal's own, driven by the commands that a person has: bin/up, bin/ladder, bin/down. */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { stringify } from "yaml";
import { containersOf } from "./cpu.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Configuration as `pulumi config set` takes it. */
export type Values = Readonly<Record<string, string>>;

export interface StackOptions {
  name: string;
  /** State, configuration and migrations are kept in it. */
  folder: string;
  /** The same at every step. */
  values: Values;
  /** Migrations beside the example application's: file content by name. */
  migrations: Readonly<Record<string, string>>;
  say: (line: string) => void;
}

/** What climbs. */
export interface Climber {
  /** Changes the configuration and waits until everything is as it says. */
  up(values: Values): Promise<void>;
  url(kind: "write" | "read"): Promise<string>;
  /** Ends the way back. */
  finish(): Promise<void>;
  /** Ids or names of what runs. */
  containers(): Promise<string[]>;
}

export class Stack implements Climber {
  readonly #options: StackOptions;

  constructor(options: StackOptions) {
    const { folder, migrations } = options;
    this.#options = options;
    mkdirSync(folder, { recursive: true });
    cpSync(join(ROOT, "sql/app"), this.#schema, { recursive: true });
    for (const [name, text] of Object.entries(migrations)) writeFileSync(join(this.#schema, name), text);
  }

  get #schema(): string {
    return join(this.#options.folder, "sql");
  }

  /** Changes the configuration and waits until the stack is as it says. @throws Error with the last lines of bin/up */
  async up(values: Values): Promise<void> {
    const config = Object.fromEntries(
      Object.entries({ ...this.#options.values, ...values, schema: relative(ROOT, this.#schema) }).map(([key, value]) => [
        `pgladder:${key}`,
        value,
      ]),
    );
    writeFileSync(join(this.#options.folder, `Pulumi.${this.#options.name}.yaml`), stringify({ config }));
    // What the load may cost is what the rehearsal finds out, so the doctor need not stand in its way.
    await this.#command("up", "--routed", "1");
  }

  url(kind: "write" | "read"): Promise<string> {
    return this.#command("ladder", "url", kind);
  }

  async finish(): Promise<void> {
    await this.#command("ladder", "finish");
  }

  containers(): Promise<string[]> {
    return containersOf(this.#options.name);
  }

  /** Takes it down with its data. */
  async down(): Promise<void> {
    await this.#command("down", "--delete-data", "--yes");
  }

  /** @returns what it printed as its result */
  #command(program: "up" | "down" | "ladder", ...more: string[]): Promise<string> {
    const { name, folder, say } = this.#options;
    const env = { ...process.env, PGLADDER_STATE: join(folder, "state"), PGLADDER_CONFIG: folder };
    const child = spawn(join(ROOT, "bin", program), ["--stack", name, ...more], { env, stdio: ["ignore", "pipe", "pipe"] });
    const said: string[] = [];
    let printed = "";
    child.stdout.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      for (const line of chunk.toString().split("\n").filter(Boolean)) {
        said.push(line);
        say(line);
      }
    });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => {
        if (code === 0) resolve(printed.trim());
        else reject(new Error(`bin/${program}: ended with ${code}\n${said.slice(-20).join("\n")}`));
      });
    });
  }
}
