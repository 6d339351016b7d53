/** What `up` says about restarts before it begins. Cannot prove that PostgreSQL restarts for just these: the mirror layer does. */
import { expect, test } from "vitest";
import { announceRestarts, describeChanges, restartingParameters, wantedParameters } from "../../cli/announce.ts";
import { shrinks } from "../../cli/commands/up.ts";
import type { Change } from "../../cli/progress.ts";
import { parseConfig } from "../../plan/config.ts";
import { plan, toOutputs } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";

const HOST = { cores: 8, memory: gib(64) };
const topologyOf = (raw: Record<string, string>, last?: ReturnType<typeof toOutputs>) =>
  plan(parseConfig(raw, { stack: "dev" }), last, HOST);

const change = (more: Partial<Change>): Change => ({
  op: "replace",
  kind: "container",
  name: "main-1",
  urn: "urn",
  id: "1",
  inputs: {},
  before: {},
  differs: [],
  ...more,
});

test("an unchanged stack restarts nothing", () => {
  const topology = topologyOf({});
  expect(announceRestarts([], topology, toOutputs(topology), wantedParameters(topology))).toEqual([]);
});

test("more memory restarts the primary while the pooler holds its clients", () => {
  const before = topologyOf({});
  const after = topologyOf({ primary: '{"memory":"8GB"}' }, toOutputs(before));
  expect(announceRestarts([change({ op: "update", differs: ["memory"] })], after, toOutputs(before), wantedParameters(before))).toEqual([
    "PostgreSQL restarts on main-1 while the pooler holds its clients: shared_buffers 1GB -> 2GB",
  ]);
});

test("a parameter that is read again without a restart is not announced", () => {
  expect(restartingParameters({ work_mem: "4MB", max_connections: "100" }, { work_mem: "8MB", max_connections: "200" })).toEqual([
    { name: "max_connections", from: "100", to: "200" },
  ]);
});

test("nothing runs yet: nothing to announce", () => {
  const topology = topologyOf({});
  expect(announceRestarts([change({ op: "create" })], topology, undefined, {})).toEqual([]);
});

test("replaced containers, each with what clients notice", () => {
  const topology = topologyOf({ stage: "2" });
  const changes = ["main-1", "pooler-1", "agent"].map((name) => change({ name, differs: ["image"] }));
  expect(announceRestarts(changes, topology, toOutputs(topology), wantedParameters(topology))).toEqual([
    "container main-1 is replaced (image changed): its PostgreSQL restarts; where it leads, another node takes over first if there is one",
    "container pooler-1 is replaced (image changed): every connection is closed once, clients connect again",
    "container agent is replaced (image changed): clients notice nothing",
  ]);
});

test("a label that is known only later may replace", () => {
  const topology = topologyOf({});
  const inputs = { labels: [{ label: "pgladder.read-at-start", value: "04da6b54-80e4-46f7-96ec-b56ff0331ba9" }] };
  expect(announceRestarts([change({ inputs, differs: ["labels"] })], topology, toOutputs(topology), {})[0]).toBe(
    "container main-1 may be replaced: its PostgreSQL restarts; where it leads, another node takes over first if there is one",
  );
});

test("changes in words", () => {
  expect(
    describeChanges([
      change({ op: "create", name: "main-2" }),
      change({ op: "update", differs: ["memory"] }),
      change({ kind: "task", name: "agent-files" }),
      change({ op: "delete", kind: "volume", name: "data-main-2" }),
      change({ op: "create", kind: "secret", name: "password-app" }),
    ]),
  ).toEqual([
    "+ new: container main-2",
    "~ changed in place: container main-1 (memory)",
    "> task agent-files runs",
    "- deleted: volume data-main-2",
    "1 passwords, keys and certificates",
  ]);
});

test("a second up follows only where a node that was there gets less memory", () => {
  const large = toOutputs(topologyOf({ primary: '{"memory":"8GB"}' }));
  expect(shrinks(topologyOf({}, large), large)).toBe(true);
  expect(shrinks(topologyOf({ primary: '{"memory":"8GB"}' }, large), large)).toBe(false);
  expect(shrinks(topologyOf({}), undefined)).toBe(false);
  const cached = { stage: "3", cache: '{"memory":"1GB"}' };
  const before = toOutputs(topologyOf(cached));
  expect(shrinks(topologyOf({ ...cached, cache: '{"memory":"512MB"}' }, before), before)).toBe(true);
  expect(shrinks(topologyOf(cached, before), before)).toBe(false);
});

test("what is interrupted by a cache node and by its door", () => {
  const topology = topologyOf({ stage: "3" });
  const lines = announceRestarts([change({ name: "cache-0-1" }), change({ name: "cache-door" })], topology, toOutputs(topology), {});
  expect(lines[0]).toContain("where it leads, its copy takes over within seconds; until then client/cache reads the database");
  expect(lines[1]).toContain("every connection to the cache is closed once, clients connect again");
});
