/** What the mover does next, for every state of a cluster. Cannot prove that a step works: test/mirror climbs for real. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { describeStep, nextStep, type Observed, type ObservedNode, type Step } from "../../agent/move/plan.ts";
import type { DesiredCluster } from "../../plan/desired.ts";
import { desired } from "../../plan/mirror.ts";
import type { PatroniDynamic } from "../../plan/render/patroni.ts";
import { topologyOf } from "../support/mirror.ts";

const NOW = "generation-now";
const [alone, synchronous] = [1, 2].map((stage) => desired(topologyOf({ stage })).cluster.dynamic) as [PatroniDynamic, PatroniDynamic];

const wanting = (nodes: readonly string[], wanted = nodes): DesiredCluster => ({
  name: "main",
  doors: { write: 5000, read: 5001, control: 5002 },
  pools: { write: "app", read: "app_read" },
  nodes,
  wanted,
  dynamic: wanted.length > 1 ? synchronous : alone,
});
const node = (name: string, more: Partial<ObservedNode> = {}): ObservedNode => ({
  name,
  role: "replica",
  synchronous: false,
  healthy: true,
  generation: NOW,
  pendingRestart: false,
  staleSlots: [],
  ...more,
});
const standby = (name: string, more: Partial<ObservedNode> = {}) => node(name, { synchronous: true, ...more });
const leader = (name: string, more: Partial<ObservedNode> = {}) => node(name, { role: "leader", ...more });
const seen = (nodes: readonly ObservedNode[], more: Partial<Observed> = {}): Observed => ({
  paused: [],
  pausedFor: 0,
  nodes,
  readers: [],
  ...more,
});

const ONE = wanting(["main-1"]);
const TWO = wanting(["main-1", "main-2"]);
/** Back at stage 1, main-2 held. */
const HELD = wanting(["main-1", "main-2"], ["main-1"]);
const none: ReadonlySet<string> = new Set();

interface Case {
  name: string;
  desired: DesiredCluster;
  seen: Observed;
  restarted?: ReadonlySet<string>;
  step: Step | undefined;
}

const wait = (reason: string): Step => ({ kind: "wait", reason });

const CASES: readonly Case[] = [
  { name: "nothing answers", desired: ONE, seen: seen([]), step: wait("no primary yet") },
  { name: "the leader does not run yet", desired: ONE, seen: seen([leader("main-1", { healthy: false })]), step: wait("no primary yet") },
  { name: "only a replica is there", desired: TWO, seen: seen([node("main-1")]), step: wait("no primary yet") },
  { name: "one node, all done", desired: ONE, seen: seen([leader("main-1")]), step: undefined },
  {
    name: "two nodes, reads spread: all done",
    desired: TWO,
    seen: seen([leader("main-1"), standby("main-2")], { readers: ["main-2"] }),
    step: undefined,
  },
  {
    name: "a pause under way is somebody's work",
    desired: ONE,
    seen: seen([leader("main-1")], { paused: ["app", "app_read"], pausedFor: 2 }),
    step: wait("app, app_read paused"),
  },
  {
    name: "a pause that nobody ends is ended",
    desired: ONE,
    seen: seen([leader("main-1")], { paused: ["app"], pausedFor: 3 }),
    step: { kind: "resume", databases: ["app"] },
  },
  {
    name: "a forgotten pause is ended before anything else",
    desired: TWO,
    seen: seen([leader("main-1", { pendingRestart: true, generation: "old" })], { paused: ["app"], pausedFor: 3 }),
    step: { kind: "resume", databases: ["app"] },
  },
  {
    name: "without a primary a pause stays: clients wait instead of failing",
    desired: ONE,
    seen: seen([leader("main-1", { healthy: false })], { paused: ["app"], pausedFor: 9 }),
    step: wait("no primary yet"),
  },
  { name: "a new replica is not there yet", desired: TWO, seen: seen([leader("main-1")]), step: wait("main-2 is not streaming yet") },
  {
    name: "a new replica copies",
    desired: TWO,
    seen: seen([leader("main-1"), standby("main-2", { healthy: false, generation: undefined })]),
    step: wait("main-2 is not streaming yet"),
  },
  {
    name: "a node has not read the configuration",
    desired: TWO,
    seen: seen([leader("main-1"), standby("main-2", { generation: "old", pendingRestart: true })]),
    step: wait("main-2 has not read the new configuration yet"),
  },
  {
    name: "commits wait for nobody yet: no restart and no switchover before they do",
    desired: TWO,
    seen: seen([leader("main-1", { pendingRestart: true }), node("main-2", { pendingRestart: true })]),
    step: wait("no synchronous standby yet"),
  },
  {
    name: "a primary that is alone for good is not kept waiting for a standby",
    desired: { ...TWO, nodes: ["main-1"] },
    seen: seen([leader("main-1", { pendingRestart: true })]),
    step: { kind: "restart-primary", node: "main-1" },
  },
  {
    name: "a held node leads: the lead goes to one that is wanted",
    desired: HELD,
    seen: seen([node("main-1"), leader("main-2")], { readers: ["main-1"] }),
    step: { kind: "switchover", from: "main-2", to: "main-1" },
  },
  {
    name: "a held node leads and must restart: first the lead",
    desired: HELD,
    seen: seen([node("main-1", { pendingRestart: true }), leader("main-2", { pendingRestart: true })]),
    step: { kind: "switchover", from: "main-2", to: "main-1" },
  },
  {
    name: "a held node that follows is left alone",
    desired: HELD,
    seen: seen([leader("main-1"), standby("main-2")], { readers: ["main-2"] }),
    step: undefined,
  },
  {
    name: "a replica that led keeps no slot of that time: the new primary's copies have the same names",
    desired: TWO,
    seen: seen([leader("main-1"), standby("main-2", { pendingRestart: true, staleSlots: ["ladder_0", "ladder_1"] })]),
    step: { kind: "drop-slots", node: "main-2", slots: ["ladder_0", "ladder_1"] },
  },
  {
    name: "slots of the leader are in use",
    desired: ONE,
    seen: seen([leader("main-1", { staleSlots: ["ladder_0"] })]),
    step: undefined,
  },
  {
    name: "a restart: the replicas first",
    desired: TWO,
    seen: seen([leader("main-1", { pendingRestart: true }), standby("main-2", { pendingRestart: true })], { readers: ["main-2"] }),
    step: { kind: "restart-replica", node: "main-2" },
  },
  {
    name: "a restart: then the primary",
    desired: TWO,
    seen: seen([leader("main-1", { pendingRestart: true }), standby("main-2")], { readers: ["main-2"] }),
    step: { kind: "restart-primary", node: "main-1" },
  },
  {
    name: "a restart of the primary: only when the replicas have the reads",
    desired: TWO,
    seen: seen([leader("main-1", { pendingRestart: true }), standby("main-2")]),
    step: { kind: "spread-reads", readers: ["main-2"] },
  },
  {
    name: "a replica that came to lead gives its reads to the other",
    desired: TWO,
    seen: seen([standby("main-1"), leader("main-2")], { readers: ["main-2"] }),
    step: { kind: "spread-reads", readers: ["main-1"] },
  },
  {
    name: "a limit that a replica may lower only after the primary: no second restart of the replica",
    desired: TWO,
    seen: seen([leader("main-1", { pendingRestart: true }), standby("main-2", { pendingRestart: true })], { readers: ["main-2"] }),
    restarted: new Set(["main-2"]),
    step: { kind: "restart-primary", node: "main-1" },
  },
  {
    name: "one node alone restarts",
    desired: ONE,
    seen: seen([leader("main-1", { pendingRestart: true })]),
    step: { kind: "restart-primary", node: "main-1" },
  },
  {
    name: "reads go to a new replica",
    desired: TWO,
    seen: seen([leader("main-1"), standby("main-2")]),
    step: { kind: "spread-reads", readers: ["main-2"] },
  },
  {
    name: "reads are spread anew when a replica is gone",
    desired: ONE,
    seen: seen([leader("main-1")], { readers: ["main-2"] }),
    step: { kind: "spread-reads", readers: [] },
  },
  {
    name: "the order of replicas means nothing",
    desired: wanting(["main-1", "main-2", "main-3"]),
    seen: seen([leader("main-2"), standby("main-3"), node("main-1")], { readers: ["main-3", "main-1"] }),
    step: undefined,
  },
];

describe("next step", () => {
  test.each(CASES)("$name", ({ desired: cluster, seen: state, restarted = none, step }) => {
    expect(nextStep(cluster, NOW, state, restarted)).toEqual(step);
    expect(nextStep(cluster, NOW, structuredClone(state), restarted)).toEqual(step);
  });
});

/** What a step does to the cluster, as far as the plan sees it. */
function after(state: Observed, step: Step, restarted: Set<string>): Observed {
  const change = (name: string, more: Partial<ObservedNode>) =>
    state.nodes.map((each) => (each.name === name ? { ...each, ...more } : each));
  switch (step.kind) {
    case "wait":
      return { ...state, pausedFor: state.pausedFor + 1 };
    case "resume":
      return { ...state, paused: [], pausedFor: 0 };
    case "switchover":
      return {
        ...state,
        nodes: state.nodes.map((each) => {
          const { pendingRestart } = each;
          return each.name === step.to ? leader(each.name, { pendingRestart }) : standby(each.name, { pendingRestart });
        }),
      };
    case "drop-slots":
      return { ...state, nodes: change(step.node, { staleSlots: [] }) };
    case "restart-replica":
      restarted.add(step.node);
      return { ...state, nodes: change(step.node, { pendingRestart: false }) };
    case "restart-primary":
      restarted.clear();
      return { ...state, nodes: change(step.node, { pendingRestart: false }) };
    case "spread-reads":
      return { ...state, readers: step.readers };
  }
}

test("from any state of a healthy cluster the steps come to an end, and a wanted node leads", () => {
  const names = ["main-1", "main-2", "main-3"];
  const anyNode = fc.record({ pendingRestart: fc.boolean(), there: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(anyNode, { minLength: 3, maxLength: 3 }),
      fc.nat(2),
      fc.integer({ min: 1, max: 3 }),
      fc.subarray(names),
      fc.constantFrom([], ["app"], ["app", "app_read"]),
      (flags, lead, wanted, readers, paused) => {
        const nodes = names
          .map((name, i) => ({ ...(i === lead ? leader(name) : standby(name)), pendingRestart: flags[i]!.pendingRestart }))
          .filter((_, i) => i === lead || i < wanted || flags[i]!.there);
        const cluster = wanting(
          nodes.map(({ name }) => name),
          names.slice(0, wanted),
        );
        const restarted = new Set<string>();
        let state = seen(nodes, { readers, paused, pausedFor: paused.length > 0 ? 1 : 0 });
        for (let steps = 0; ; steps++) {
          const step = nextStep(cluster, NOW, state, restarted);
          if (!step) break;
          expect(steps).toBeLessThan(15);
          state = after(state, step, restarted);
        }
        const leading = state.nodes.find(({ role }) => role === "leader")!;
        expect(cluster.wanted).toContain(leading.name);
        expect(state.nodes.filter(({ pendingRestart }) => pendingRestart)).toEqual([]);
        expect(state.paused).toEqual([]);
      },
    ),
  );
});

test("every step is described in words", () => {
  const steps: Step[] = [
    { kind: "resume", databases: ["app", "app_read"] },
    wait("main-2 is not streaming yet"),
    { kind: "switchover", from: "main-2", to: "main-1" },
    { kind: "drop-slots", node: "main-2", slots: ["ladder_0", "ladder_1"] },
    { kind: "restart-replica", node: "main-2" },
    { kind: "restart-primary", node: "main-1" },
    { kind: "spread-reads", readers: ["main-2", "main-3"] },
    { kind: "spread-reads", readers: [] },
  ];
  expect(steps.map(describeStep)).toEqual([
    "resuming app, app_read, left paused by a run that was stopped",
    "main-2 is not streaming yet",
    "handing the lead from main-2 to main-1",
    "dropping ladder_0, ladder_1 on the replica main-2, left from when it led",
    "restarting PostgreSQL on the replica main-2 for changed parameters",
    "restarting PostgreSQL on the primary main-1 for changed parameters",
    "sending reads to main-2, main-3",
    "sending reads to the primary",
  ]);
});
