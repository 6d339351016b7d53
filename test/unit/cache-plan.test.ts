/** What the agent does next with a cache in every state that it can find. Cannot prove that Valkey then does it: test/mirror/stage3 does. */
import { describe, expect, test } from "vitest";
import { parseInfo, parseTable } from "../../agent/cache/observe.ts";
import { describeCacheStep, nextCacheStep, type SeenCache, type SeenNode } from "../../agent/cache/plan.ts";
import type { DesiredCache } from "../../plan/desired.ts";
import { mib } from "../../plan/types.ts";

const [ONE, TWO] = ["cache-0-1", "cache-0-2"];
const DESIRED: DesiredCache = {
  nodes: [
    { name: ONE, port: 7433, memory: mib(64) },
    { name: TWO, port: 7434, memory: mib(64) },
  ],
  wanted: [ONE, TWO],
  users: [],
  door: { host: "cache-door", port: 7432 },
};

const node = (name: string, changes: Partial<SeenNode> = {}): SeenNode => ({
  name,
  id: `id-${name}`,
  role: "primary",
  follows: undefined,
  slots: 0,
  linked: false,
  offset: 0,
  reaches: [],
  lists: [],
  announced: "127.0.0.1",
  memory: mib(64),
  users: true,
  ...changes,
});
const other = (name: string) => `id-${name === ONE ? TWO : ONE}`;
const knowing = (name: string) => ({ reaches: [other(name)], lists: [other(name)] });
const primary = (name: string, changes: Partial<SeenNode> = {}) => node(name, { slots: 16_384, ...knowing(name), ...changes });
const replica = (name: string, changes: Partial<SeenNode> = {}) =>
  node(name, { role: "replica", follows: other(name), linked: true, offset: 100, ...knowing(name), ...changes });

const next = (nodes: readonly SeenNode[], changes: Partial<SeenCache> = {}, desired: Partial<DesiredCache> = {}) =>
  nextCacheStep({ ...DESIRED, ...desired }, { nodes, missed: {}, door: true, ...changes });
const wait = (reason: string) => ({ kind: "wait", reason });

test("nothing is left to do for a primary with a replica behind a door", () => {
  expect(next([primary(ONE), replica(TWO)])).toBeUndefined();
  expect(next([replica(ONE), primary(TWO)])).toBeUndefined();
  expect(next([primary(ONE), replica(TWO)], { door: false })).toEqual(wait("the cache's door does not lead to its primary yet"));
});

test("a new cache: settings, all slots to the first, acquaintance, copying, done", () => {
  const fresh = (name: string) => node(name, { memory: 0, users: false });
  expect(next([fresh(ONE), fresh(TWO)])).toEqual({ kind: "settings", node: ONE });
  expect(next([node(ONE), fresh(TWO)])).toEqual({ kind: "settings", node: TWO });
  expect(next([node(ONE), node(TWO, { memory: mib(32) })])).toEqual({ kind: "settings", node: TWO });
  expect(next([node(ONE), node(TWO)])).toEqual({ kind: "assign", node: ONE });
  expect(next([node(ONE, { slots: 16_384 }), node(TWO)])).toEqual({ kind: "meet", from: TWO, to: ONE });
  expect(next([primary(ONE), node(TWO, knowing(TWO))])).toEqual({ kind: "follow", node: TWO, primary: ONE, primaryId: "id-cache-0-1" });
  expect(next([primary(ONE), replica(TWO, { linked: false })])).toEqual(wait("cache-0-2 copies from cache-0-1"));
});

test("a new cache waits for all of its nodes: one of them may have been primary", () => {
  expect(next([node(TWO)], { missed: { [ONE]: 9 } })).toEqual(wait("cache-0-1 does not answer"));
  expect(next([])).toEqual(wait("cache-0-1 does not answer"));
});

describe("a primary that does not answer", () => {
  const left = [replica(TWO, { linked: false, reaches: [] })];
  test("may miss two looks, then its replica takes over", () => {
    expect(next(left, { missed: { [ONE]: 1 } })).toEqual(wait("cache-0-1 does not answer"));
    expect(next(left, { missed: { [ONE]: 2 } })).toEqual(wait("cache-0-1 does not answer"));
    expect(next(left, { missed: { [ONE]: 3 } })).toEqual({ kind: "take-over", node: TWO, from: [ONE] });
  });

  test("stays primary while its replica reaches it: then it is the agent that is cut off", () => {
    expect(next([replica(TWO)], { missed: { [ONE]: 30 } })).toEqual(wait("the cache's primary answers its replica only"));
  });

  test("is followed by the replica that has copied most", () => {
    const third = { name: "cache-0-3", port: 7435, memory: mib(64) };
    const copies = [replica(TWO, { linked: false, offset: 7 }), replica("cache-0-3", { linked: false, offset: 9 })];
    const desired = { nodes: [...DESIRED.nodes, third] };
    expect(next(copies, { missed: { [ONE]: 3 } }, desired)).toEqual({ kind: "take-over", node: "cache-0-3", from: [ONE] });
  });

  test("is waited for as a node once another one leads", () => {
    expect(next([primary(TWO, { reaches: [] })], { missed: { [ONE]: 5 } })).toEqual(wait("cache-0-1 does not answer"));
  });

  test("and that comes back without its data gives way to its replica", () => {
    const nodes = [node(ONE, { id: "id-new" }), replica(TWO, { linked: false, reaches: [] })];
    expect(next(nodes)).toEqual({ kind: "take-over", node: TWO, from: [] });
    expect(next([node(ONE, { id: "id-new" }), primary(TWO, { reaches: [] })])).toEqual({ kind: "meet", from: ONE, to: TWO });
  });
});

test("nodes that lost each other's addresses are made acquainted again, whichever side lost them", () => {
  expect(next([primary(ONE, { reaches: [] }), replica(TWO)])).toEqual({ kind: "meet", from: TWO, to: ONE });
  expect(next([primary(ONE), replica(TWO, { reaches: [], linked: false })])).toEqual({ kind: "meet", from: TWO, to: ONE });
});

test("a node that tells clients another address is corrected first", () => {
  expect(next([primary(ONE, { announced: "172.20.0.3" }), replica(TWO)])).toEqual({ kind: "announce", node: ONE });
});

test("a replica of a node that is gone follows the primary; two primaries with slots settle it themselves", () => {
  expect(next([primary(ONE), replica(TWO, { follows: "id-gone" })])).toMatchObject({ kind: "follow", node: TWO, primary: ONE });
  expect(next([primary(ONE), primary(TWO, { slots: 5 })])).toEqual(wait("cache-0-1 and cache-0-2 settle who is primary"));
});

test("an id that no node has is struck off, when all nodes answer", () => {
  const lists = [other(ONE), "id-gone"];
  expect(next([primary(ONE, { lists }), replica(TWO)])).toEqual({ kind: "forget", id: "id-gone", nodes: [ONE] });
  expect(next([primary(ONE, { lists })], { missed: { [TWO]: 1 } })).toEqual(wait("cache-0-2 does not answer"));
});

test("a held node hands over to one that the stage wants; where none is wanted it stays", () => {
  const nodes = [replica(ONE), primary(TWO)];
  expect(next(nodes, {}, { wanted: [ONE] })).toEqual({ kind: "hand-over", node: ONE, from: TWO });
  expect(next(nodes, {}, { wanted: [] })).toBeUndefined();
});

test("every step in words", () => {
  const say = (nodes: readonly SeenNode[], changes: Partial<SeenCache> = {}) => describeCacheStep(next(nodes, changes)!);
  expect(say([node(ONE), node(TWO)])).toBe("cache-0-1 holds the whole cache");
  expect(say([replica(TWO, { linked: false })], { missed: { [ONE]: 3 } })).toBe("cache-0-2 is the cache's primary instead of cache-0-1");
  expect(say([primary(ONE), node(TWO, knowing(TWO))])).toBe("cache-0-2 copies from cache-0-1");
  expect(say([node(ONE, { users: false }), node(TWO)])).toBe("cache-0-1: memory limit and users set");
});

test("reads the cluster's table as Valkey 8.1 writes it", () => {
  const table = `40b5 172.23.0.2:17434@16379 master,fail? - 1795272239811 1795272239000 1 connected
8965 127.0.0.1:17433@16379,,tls-port=17433 myself,slave 40b5 0 0 1 connected
77aa :0@0 master,fail,noaddr - 0 0 1 disconnected 0-5460 5462 [5461->-40b5]
`;
  expect(parseTable(table)).toEqual([
    { id: "40b5", address: "172.23.0.2", flags: ["master", "fail?"], primary: "-", link: "connected", slots: 0 },
    { id: "8965", address: "127.0.0.1", flags: ["myself", "slave"], primary: "40b5", link: "connected", slots: 0 },
    { id: "77aa", address: "", flags: ["master", "fail", "noaddr"], primary: "-", link: "disconnected", slots: 5_462 },
  ]);
});

test("reads INFO", () => {
  expect(parseInfo("# Replication\r\nrole:slave\r\nmaster_link_status:up\r\nslave0:ip=1,port=2\r\n")).toEqual({
    role: "slave",
    master_link_status: "up",
    slave0: "ip=1,port=2",
  });
});
