/** The words that Pulumi's events become. Cannot prove that the engine sends such events: test/engine does. */
import type { EngineEvent, StepEventMetadata } from "@pulumi/pulumi/automation/index.js";
import { expect, test } from "vitest";
import { Progress, whatFailed } from "../../cli/progress.ts";

const CONTAINER = "docker:index/container:Container";
const urn = (type: string, name: string) => `urn:pulumi:dev::pgladder::${type}::${name}`;

function step(op: string, type: string, name: string, more: Partial<StepEventMetadata> = {}): StepEventMetadata {
  const state = { type, urn: urn(type, name), custom: true, id: "1", parent: "", inputs: {}, outputs: {}, provider: "" };
  const there = op === "create" ? {} : { old: state };
  const after = op === "delete" ? {} : { new: state };
  return { op, urn: urn(type, name), type, provider: "", ...there, ...after, ...more } as StepEventMetadata;
}

const pre = (metadata: StepEventMetadata) => ({ resourcePreEvent: { metadata } }) as EngineEvent;
const post = (metadata: StepEventMetadata) => ({ resOutputsEvent: { metadata } }) as EngineEvent;

function watching(options: { preview?: boolean } = {}) {
  const lines: string[] = [];
  let now = 0;
  const progress = new Progress((line) => lines.push(line), { ...options, clock: () => now });
  return { lines, progress, pass: (ms: number) => (now += ms) };
}

test("one line for each change, with its time from a second on", () => {
  const { lines, progress, pass } = watching();
  progress.event(pre(step("create", CONTAINER, "main-1")));
  pass(5_400);
  progress.event(post(step("create", CONTAINER, "main-1")));
  progress.event(pre(step("update", "docker:index/image:Image", "image-node")));
  pass(900);
  progress.event(post(step("update", "docker:index/image:Image", "image-node")));
  progress.event(post(step("same", CONTAINER, "pooler-1")));
  expect(lines).toEqual(["created container main-1 (5 s)", "changed image node"]);
});

test("a replacement is one change", () => {
  const { lines, progress } = watching();
  for (const op of ["delete-replaced", "replace", "create-replacement"]) {
    progress.event(pre(step(op, CONTAINER, "agent")));
    progress.event(post(step(op, CONTAINER, "agent")));
  }
  expect(lines).toEqual(["replaced container agent"]);
  expect(progress.changes.map(({ op, kind, name }) => ({ op, kind, name }))).toEqual([{ op: "replace", kind: "container", name: "agent" }]);
});

test("secrets are counted, components and providers are not shown", () => {
  const { lines, progress } = watching();
  for (const name of ["a", "b"]) progress.event(post(step("create", "random:index/randomPassword:RandomPassword", name)));
  progress.event(post(step("delete", "tls:index/privateKey:PrivateKey", "c")));
  progress.event(post(step("create", "pulumi:providers:docker", "default")));
  const component = step("create", "pgladder:docker:Agent", "agent");
  progress.event(post({ ...component, new: { ...component.new!, custom: false } }));
  progress.stop();
  expect(lines).toEqual(["passwords, keys and certificates: created 2, deleted 1"]);
});

test("a container that runs once is a task; one that is gone is named", () => {
  const { lines, progress } = watching();
  const task = step("create", CONTAINER, "agent-migrate");
  progress.event(post({ ...task, new: { ...task.new!, inputs: { mustRun: false } } }));
  const { new: _, ...gone } = step("refresh", CONTAINER, "main-2");
  progress.event(post(gone));
  expect(lines).toEqual(["created task agent-migrate", "container main-2: was removed by hand"]);
});

test("a preview says nothing and knows what would change", () => {
  const { lines, progress } = watching({ preview: true });
  progress.event(pre(step("update", CONTAINER, "main-1", { detailedDiff: { memory: { diffKind: "update", inputDiff: true } } as never })));
  progress.stop();
  expect(lines).toEqual([]);
  expect(progress.changes.map(({ name, differs }) => ({ name, differs }))).toEqual([{ name: "main-1", differs: ["memory"] }]);
});

test("what takes long is named every 15 s", () => {
  const { lines, progress, pass } = watching();
  progress.event(pre(step("create", "docker:index/image:Image", "image-node")));
  pass(14_000);
  progress.beat();
  pass(1_000);
  progress.beat();
  pass(2_000);
  progress.beat();
  expect(lines).toEqual(["… creating image node for 15 s"]);
});

test.each([
  [
    "a task's log",
    [{ urn: undefined, text: "agent-migrate ended with 1:\n/input/schema/9.sql:3:8: syntax error\n" }],
    "agent-migrate ended with 1:\n/input/schema/9.sql:3:8: syntax error",
  ],
  [
    "an exception with its trace, said twice",
    [
      {
        urn: undefined,
        text: 'Unhandled exception: InputError: error serializing property "outputs": tuning: 1 problem\n  a: got 1, want 2\n    at tune (file:///x.ts:1:1)\n',
      },
      {
        urn: undefined,
        text: 'error serializing property "outputs": error serializing property "labels": tuning: 1 problem\n  a: got 1, want 2',
      },
    ],
    "tuning: 1 problem\n  a: got 1, want 2",
  ],
  [
    "a resource's error, and Pulumi's own words about it",
    [
      { urn: urn(CONTAINER, "main-1"), text: "Unable to start container: no space left on device\n" },
      { urn: urn("pulumi:pulumi:Stack", "pgladder-dev"), text: "update failed" },
    ],
    "main-1: Unable to start container: no space left on device",
  ],
])("errors: %s", (_, errors, shown) => {
  expect(whatFailed(errors)).toBe(shown);
});
