import { rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { checkEngine, engine, ifThere } from "../engine.ts";
import { Failure } from "../failure.ts";
import { alone, releaseStaleLock } from "../lock.ts";
import { operate } from "../operate.ts";
import { repair } from "../repair.ts";
import type { Report } from "../report.ts";
import { openStack, STATE } from "../stack.ts";
import { dataVolumes, type Resource, readState } from "../state.ts";

export interface DownOptions {
  stack: string;
  deleteData?: boolean | undefined;
  /** Asks nothing. */
  yes?: boolean | undefined;
}

/**
 * `bin/down`: stops and removes the stack. What data lives in and is opened with stays (volumes, passwords, keys, the certificate
 * authority), so that the next `bin/up` finds it again, unless `deleteData` is set: then everything goes, protected or not.
 *
 * @throws Failure on aws, where stopping is no way to save and what is protected must be let go by hand.
 */
export async function down({ stack: name, deleteData = false, yes = false }: DownOptions, { say, result }: Report): Promise<void> {
  await alone(name);
  await checkEngine();
  const opened = await openStack(name);
  if ((await readState(opened.stack)).resources.some(({ type }) => type.startsWith("aws:")))
    throw new Failure(`stack ${name}: is on aws; pulumi destroy ends it there, and looks ahead for what is protected (docs/aws.md)`);
  await releaseStaleLock(opened, say);
  await repair(opened, say);
  const state = await readState(opened.stack);
  const volumes = await existing(dataVolumes(state.resources).map(({ inputs }) => String(inputs?.name)));
  if (!deleteData) {
    const targets = removable(state.resources);
    if (targets.length > 0) await operate(opened, "destroy", { say, targets });
    result(
      [
        `stack ${name} is down`,
        ...(volumes.length > 0 ? [`its data stays in ${volumes.join(", ")}: bin/up brings it back, --delete-data deletes it`] : []),
      ],
      { stack: name, kept: volumes },
    );
    return;
  }
  if (!yes && volumes.length > 0) await confirm(name, volumes);
  if (state.resources.some(({ protect }) => protect)) await state.write((resource) => ({ ...resource, protect: false }));
  await operate(opened, "destroy", { say });
  await opened.stack.workspace.removeStack(name);
  for (const leftover of [join(STATE, `${name}-ca.crt`), join(STATE, "work", name)]) rmSync(leftover, { recursive: true, force: true });
  result([`stack ${name} and its data are gone`], { stack: name, kept: [], deleted: volumes });
}

/** Kinds that hold data or open it. */
const KEPT = (resource: Resource): boolean => /^(random|tls):/.test(resource.type);

/**
 * What can go while the data stays: everything but data, secrets and whatever these hang on.
 *
 * @returns URNs
 */
export function removable(resources: readonly Resource[]): readonly string[] {
  const byUrn = new Map(resources.map((resource) => [resource.urn, resource]));
  const kept = new Set<string>();
  const keep = (urn: string) => {
    if (kept.has(urn)) return;
    kept.add(urn);
    const { parent, dependencies, provider } = byUrn.get(urn) ?? {};
    for (const other of [parent, ...(dependencies ?? []), provider?.slice(0, provider.lastIndexOf("::"))]) if (other) keep(other);
  };
  const data = new Set(dataVolumes(resources).map(({ urn }) => urn));
  for (const resource of resources)
    if (resource.type === "pulumi:pulumi:Stack" || KEPT(resource) || data.has(resource.urn)) keep(resource.urn);
  return [...new Set(resources.map(({ urn }) => urn).filter((urn) => !kept.has(urn) && !urn.includes("::pulumi:providers:")))];
}

async function existing(volumes: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(volumes.map((volume) => ifThere(engine.getVolume(volume).inspect())));
  return volumes.filter((_, i) => found[i]);
}

/** At a terminal, deleting data takes the stack's name; a script has said what it wants. */
async function confirm(name: string, volumes: readonly string[]): Promise<void> {
  if (!process.stdin.isTTY) return;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`This deletes all data of ${name} (${volumes.join(", ")}). Type the stack's name to go on: `);
  terminal.close();
  if (answer.trim() !== name) throw new Failure("nothing was changed");
}
