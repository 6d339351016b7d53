import type { EngineEvent, StepEventMetadata } from "@pulumi/pulumi/automation/index.js";

/** One resource that an operation makes, changes, replaces or deletes. */
export interface Change {
  op: "create" | "update" | "replace" | "delete";
  /** Word for the kind of thing: container, task, volume, network, image, secret; on other targets the type's last word. */
  kind: string;
  name: string;
  urn: string;
  /** Id of what is there already. */
  id: string | undefined;
  /** What the program asks for; undefined for a deletion. */
  inputs: Readonly<Record<string, unknown>> | undefined;
  before: Readonly<Record<string, unknown>> | undefined;
  /** Top-level properties that differ. */
  differs: readonly string[];
}

const OPS: Readonly<Record<string, Change["op"]>> = {
  create: "create",
  "create-replacement": "replace",
  update: "update",
  delete: "delete",
  "delete-replaced": "delete",
};

const DONE = { create: "created", update: "changed", replace: "replaced", delete: "deleted" } as const;
const DOING = { create: "creating", update: "changing", replace: "replacing", delete: "deleting" } as const;

/** Passwords, keys and certificates: many and quick, so they are counted and not listed. */
const isSecret = (type: string): boolean => /^(random|tls):/.test(type);

function kindOf(type: string, inputs: Readonly<Record<string, unknown>>): string {
  if (isSecret(type)) return "secret";
  if (type === "docker:index/container:Container") return inputs.mustRun === false ? "task" : "container";
  return type.slice(type.lastIndexOf(":") + 1).toLowerCase();
}

/** The change that a step stands for, or undefined for what changes nothing that a user would know. */
export function changeOf({ op, urn, type, old, new: wanted, detailedDiff, diffs }: StepEventMetadata): Change | undefined {
  const known = OPS[op];
  const state = wanted ?? old;
  if (!known || !state?.custom || type.startsWith("pulumi:")) return undefined;
  return {
    op: known,
    kind: kindOf(type, state.inputs),
    name: urn.slice(urn.lastIndexOf("::") + 2),
    urn,
    id: old?.id || undefined,
    inputs: known === "delete" ? undefined : wanted?.inputs,
    before: old?.inputs,
    differs: [...new Set([...Object.keys(detailedDiff ?? {}), ...(diffs ?? [])].map((path) => path.split(/[.[]/)[0]!))],
  };
}

const label = ({ kind, name }: Change): string => (kind === "image" ? `image ${name.replace(/^image-/, "")}` : `${kind} ${name}`);

const HEARTBEAT = 15_000;

/** Turns the engine's events into short lines, and remembers what changed and what went wrong. */
export class Progress {
  /** Every change that is done (planned, in a preview), in the engine's order; a replacement is one change. */
  readonly changes: Change[] = [];
  readonly errors: { urn: string | undefined; text: string }[] = [];
  readonly #say: (line: string) => void;
  readonly #preview: boolean;
  readonly #started = new Map<string, { change: Change; at: number }>();
  readonly #clock: () => number;
  #heartbeat: NodeJS.Timeout | undefined;
  #lastLine: number;

  constructor(say: (line: string) => void, { preview = false, clock = Date.now } = {}) {
    this.#say = say;
    this.#preview = preview;
    this.#clock = clock;
    this.#lastLine = clock();
  }

  /** Says what is still under way whenever nothing else was said for a while. */
  start(): void {
    this.#heartbeat = setInterval(() => this.beat(), 1_000).unref();
  }

  stop(): void {
    clearInterval(this.#heartbeat);
    const secrets = this.changes.filter(({ kind }) => kind === "secret");
    if (this.#preview || secrets.length === 0) return;
    const counted = (op: Change["op"]) => secrets.filter((change) => change.op === op).length;
    const counts = (["create", "update", "replace", "delete"] as const).flatMap((op) =>
      counted(op) > 0 ? [`${DONE[op]} ${counted(op)}`] : [],
    );
    this.#line(`passwords, keys and certificates: ${counts.join(", ")}`);
  }

  /** One look at the clock. */
  beat(): void {
    const now = this.#clock();
    if (now - this.#lastLine < HEARTBEAT || this.#started.size === 0) return;
    const under = [...this.#started.values()].map(({ change, at }) => `${DOING[change.op]} ${label(change)} for ${seconds(now - at)}`);
    this.#line(`… ${under.join(", ")}`);
  }

  event({ resourcePreEvent, resOutputsEvent, resOpFailedEvent, diagnosticEvent }: EngineEvent): void {
    if (resourcePreEvent) this.#begin(resourcePreEvent.metadata);
    if (resOutputsEvent) this.#end(resOutputsEvent.metadata);
    if (resOpFailedEvent) this.#started.delete(resOpFailedEvent.metadata.urn);
    if (diagnosticEvent?.severity === "error") this.errors.push({ urn: diagnosticEvent.urn, text: diagnosticEvent.message });
  }

  #begin(step: StepEventMetadata): void {
    const change = changeOf(step);
    if (!change) return;
    if (this.#preview) this.#record(step, change);
    else this.#started.set(change.urn, { change, at: this.#clock() });
  }

  #end(step: StepEventMetadata): void {
    if (this.#preview) return;
    if (step.op === "refresh" && step.old && !step.new) {
      const gone = changeOf({ ...step, op: "delete" });
      if (gone) this.#line(`${label(gone)}: was removed by hand`);
      return;
    }
    const change = changeOf(step);
    if (!change) return;
    const at = this.#started.get(change.urn)?.at ?? this.#clock();
    this.#started.delete(change.urn);
    this.#record(step, change);
    if (change.kind !== "secret" && step.op !== "delete-replaced")
      this.#line(`${DONE[change.op]} ${label(change)}${took(this.#clock() - at)}`);
  }

  /** The deletion that belongs to a replacement is no change of its own. */
  #record(step: StepEventMetadata, change: Change): void {
    if (step.op !== "delete-replaced") this.changes.push(change);
  }

  #line(text: string): void {
    this.#lastLine = this.#clock();
    this.#say(text);
  }
}

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;
const took = (ms: number): string => (ms >= 1_000 ? ` (${seconds(ms)})` : "");

/** Pulumi's own words around an error, which say nothing to the user. */
const NOISE = [
  /^(update|preview|destroy|refresh|resource registration|BAIL).*failed\b.*$/i,
  /^Resource monitor has terminated.*$/,
  /^\s+at .*$/,
  /^Running program .* failed with an unhandled exception:?$/,
];

/** What went wrong, each thing once, without Pulumi's prefixes and without stack traces. */
export function whatFailed(errors: readonly { urn: string | undefined; text: string }[]): string {
  const lines = errors.map(({ urn, text }) => {
    const own = text
      .replace(/^(?:error: )?Unhandled exception: /, "")
      .replace(/^(?:\w*Error: )+/, "")
      .replace(/^(?:error serializing property "[^"]*": )+/, "")
      .split("\n")
      .filter((line) => !NOISE.some((noise) => noise.test(line)))
      .join("\n")
      .trim();
    const name = urn && !urn.includes("::pulumi:pulumi:Stack::") ? `${urn.slice(urn.lastIndexOf("::") + 2)}: ` : "";
    return own && name + own;
  });
  const distinct = [...new Set(lines.filter((line) => line !== ""))];
  return distinct.filter((line) => !distinct.some((other) => other !== line && other.includes(line))).join("\n");
}
