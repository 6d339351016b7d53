import { randomBytes } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { LocalWorkspace, type Stack, StackNotFoundError } from "@pulumi/pulumi/automation/index.js";
import { parseDocument, stringify } from "yaml";
import { InputError } from "../plan/types.ts";
import { Failure } from "./failure.ts";
import { failOnLostEngine } from "./lost-engine.ts";

failOnLostEngine();

export const ROOT = join(import.meta.dirname, "..");

/** Where state, passphrase and logs are kept. */
export const STATE = resolve(process.env.PGLADDER_STATE ?? join(ROOT, ".state"));

/** The folder of the stacks' configuration files. */
const CONFIG = resolve(process.env.PGLADDER_CONFIG ?? ROOT);

/** Config values by key without `pgladder:`, as `pulumi config set` takes them. */
export type Overrides = Readonly<Record<string, string>>;

/** A stack that the Automation API can work on. */
export interface Opened {
  readonly name: string;
  readonly stack: Stack;
  /** What the program threw in the operation that ran last: its own words, before Pulumi wrapped them. */
  readonly refusal: () => InputError | undefined;
}

/** Whether state is kept in files of the state folder, and not in a backend of the operator's own. */
export const ownBackend = (): boolean => !process.env.PULUMI_BACKEND_URL;

/**
 * Pulumi's environment: the operator's own backend and passphrase where they are set, else files in the state folder.
 * The passphrase that encrypts the secrets is made once, readable by its owner only.
 */
function environment(): Record<string, string> {
  return {
    PULUMI_SKIP_UPDATE_CHECK: "true",
    // The salt of the passphrase is taken from the state where the configuration file has none.
    PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER: "true",
    ...(ownBackend() ? { PULUMI_BACKEND_URL: `file://${STATE}` } : {}),
    ...((process.env.PULUMI_CONFIG_PASSPHRASE ?? process.env.PULUMI_CONFIG_PASSPHRASE_FILE)
      ? {}
      : { PULUMI_CONFIG_PASSPHRASE_FILE: passphraseFile(join(STATE, "passphrase")) }),
  };
}

/** The file is complete from the moment it has its name, however this process ends. */
function passphraseFile(file: string): string {
  if (existsSync(file)) return file;
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600 });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft);
  }
  return file;
}

/** `Pulumi.<name>.yaml`: the configuration that `pulumi config set` edits. */
export const configFile = (name: string): string => join(CONFIG, `Pulumi.${name}.yaml`);

/** The stack's configuration with single values changed; everything else, comments too, stays as it is written. */
export function withOverrides(text: string, overrides: Overrides, file: string): string {
  if (Object.keys(overrides).length === 0) return text;
  const document = parseDocument(text);
  if (document.errors[0]) throw new Failure(`${file}: ${document.errors[0].message}`);
  for (const [key, value] of Object.entries(overrides)) document.setIn(["config", `pgladder:${key}`], value);
  return document.toString({ lineWidth: 0 });
}

const readConfig = (name: string): string => (existsSync(configFile(name)) ? readFileSync(configFile(name), "utf8") : "");

/** Writes values into `Pulumi.<name>.yaml`, as `pulumi config set` would. */
export function writeConfig(name: string, overrides: Overrides): void {
  const file = configFile(name);
  const before = readConfig(name);
  const after = withOverrides(before, overrides, file);
  if (after === before) return;
  writeFileSync(`${file}.new`, after);
  renameSync(`${file}.new`, file);
}

/**
 * A folder for Pulumi with a copy of the configuration: Pulumi writes the passphrase's salt into the file it is given,
 * which would show up as a change in the repository.
 */
function workFolder(name: string, overrides: Overrides): string {
  const folder = join(STATE, "work", name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { main: _, ...project } = parseDocument(readFileSync(join(ROOT, "Pulumi.yaml"), "utf8")).toJS() as Record<string, unknown>;
  writeFileSync(join(folder, "Pulumi.yaml"), stringify(project));
  writeFileSync(join(folder, `Pulumi.${name}.yaml`), withOverrides(readConfig(name), overrides, configFile(name)));
  return folder;
}

/**
 * Opens a stack with the configuration of `Pulumi.<name>.yaml`.
 *
 * @param overrides values for this run only
 * @throws Failure where the stack does not exist and `create` is not set
 */
export async function openStack(name: string, { create = false, overrides = {} as Overrides } = {}): Promise<Opened> {
  mkdirSync(STATE, { recursive: true, mode: 0o700 });
  let refused: unknown;
  const watched = async () => {
    refused = undefined;
    try {
      // Loaded only when an operation runs it: printing a URL needs none of it.
      const { default: program } = await import("../index.ts");
      return await program();
    } catch (error) {
      refused = error;
      throw error;
    }
  };
  const args = { stackName: name, projectName: "pgladder", program: watched };
  const options = { workDir: workFolder(name, overrides), envVars: environment() };
  try {
    const stack = await (create ? LocalWorkspace.createOrSelectStack(args, options) : LocalWorkspace.selectStack(args, options));
    return { name, stack, refusal: () => (refused instanceof InputError ? refused : undefined) };
  } catch (error) {
    if (error instanceof StackNotFoundError) throw new Failure(`stack ${name}: there is none yet; bin/up --stack ${name} makes it`);
    throw new Failure(`stack ${name}: cannot be opened: ${shortened(error)}`);
  }
}

/** What the Pulumi CLI said on standard error. */
function shortened(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const said = /stderr: ([\s\S]*?)(?:\n err\?:|$)/.exec(text)?.[1] ?? text;
  return said.replace(/^Command failed with exit code.*\n/, "").trim();
}
