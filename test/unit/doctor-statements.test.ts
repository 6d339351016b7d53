/** What a statement asks of sharded tables, and what the doctor says of it. Cannot prove: how PostgreSQL plans it. */
import { loadModule } from "libpg-query";
import { beforeAll, describe, expect, test } from "vitest";
import { gatewayFinding, hotRowsFinding, loadOf } from "../../agent/doctor/load.ts";
import { capacities } from "../../agent/doctor/measure.ts";
import { readStatement } from "../../agent/doctor/parse.ts";
import type { KnownTable } from "../../agent/doctor/scope.ts";
import { doingFindings } from "../../agent/doctor/state.ts";
import { type Counted, findingOf, type Statement, statementFindings } from "../../agent/doctor/statements.ts";
import { readShare } from "../../cli/arguments.ts";
import { lines } from "../../cli/commands/doctor.ts";

beforeAll(() => loadModule());

const known: KnownTable[] = [
  { schema: "public", table: "m", name: "public.m", columns: ["id", "user_id", "body"], key: "user_id" },
  { schema: "public", table: "u", name: "public.u", columns: ["id", "name"], key: "id" },
  { schema: "public", table: "g", name: "public.g", columns: ["id", "word"], key: null },
  { schema: "two", table: "far", name: "two.far", columns: ["key"], key: "key" },
  { schema: "other", table: "m", name: "other.m", columns: ["id"], key: null },
];

/** reads or writes, how closely, of which tables: troubles. */
const said = (text: string): string | null => {
  const asked = readStatement(text, known);
  if (!asked) return asked === null ? "unread" : null;
  const { tables, writes, bound, troubles } = asked;
  return `${writes ? "writes" : "reads"} ${bound} of ${tables.join(" ")}${troubles.length > 0 ? `: ${troubles.join(", ")}` : ""}`;
};

test.each([
  ["select * from m where user_id = $1", "reads one of public.m"],
  ["select * from public.m as x where $1::bigint = x.user_id and body = $2", "reads one of public.m"],
  ["select * from m where body = $1", "reads none of public.m"],
  ["select * from m where user_id = $1 or body = $2", "reads none of public.m"],
  ["select * from m where user_id > $1", "reads none of public.m"],
  ["select * from m where user_id in ($1, $2)", "reads some of public.m"],
  ["select * from m where user_id in ($1)", "reads one of public.m"],
  ["select * from m where user_id = any ($1)", "reads some of public.m"],
  ["select * from m where (user_id, id) = ($1, $2)", "reads one of public.m"],
  ["select * from m where user_id = (select id from g where word = $1)", "reads one of public.m"],
  ["select * from m join u on u.id = m.user_id where name = $1", "reads none of public.m public.u"],
  ["select * from m join u on u.id = m.user_id where u.id = $1", "reads one of public.m public.u"],
  ["select * from m join g on g.id = m.id where user_id = $1", "reads one of public.m"],
  ["select * from m join u using (id) where user_id = $1", "reads none of public.m public.u: join off the key"],
  ["select * from m, u where m.body = u.name and m.user_id = $1 and u.id = $1", "reads one of public.m public.u"],
  ["select * from u natural join g", "reads none of public.u"],
  ["select * from g where exists (select from u where u.id = g.id)", "reads one of public.u"],
  ["select * from g where id in (select user_id from m)", "reads none of public.m"],
  ["with m as (select * from g) select * from m", null],
  ["with x as (delete from m where user_id = $1 returning *) select * from x", "writes one of public.m"],
  ["select * from other.m", null],
  ["select * from g", null],
  ["select * from far where key = $1", "reads one of two.far"],
  ["select * from public.far where key = $1", null],
  ["select user_id from m where user_id = $1 union all select id from u", "reads none of public.m public.u"],
  [
    "select * from (select * from m where user_id = $1) x, lateral (select * from u where u.id = x.user_id) y",
    "reads one of public.m public.u",
  ],
  ["select * from m where user_id = $1 for update", "reads one of public.m: row lock"],
  ["select * from g for update", null],
  ["select * from m tablesample system ($1)", "reads none of public.m: sample"],
  ["insert into m (user_id, body) values ($1, $2)", "writes one of public.m"],
  ["insert into u (name) values ($1) returning id", "writes one of public.u"],
  ["insert into m (user_id) values ($1), ($2)", "writes some of public.m: several rows"],
  ["insert into m select * from g", "writes some of public.m: several rows"],
  ["insert into m (user_id) values ($1) on conflict do nothing", "writes one of public.m"],
  ["insert into m (user_id) values ($1) on conflict (user_id, id) do update set body = $2", "writes one of public.m: conflict target"],
  [
    "insert into m (user_id) values ($1) on conflict on constraint m_pkey do update set user_id = $2",
    "writes one of public.m: conflict target, key update",
  ],
  ["insert into g values ($1) on conflict (id) do nothing", null],
  ["update m set body = $1 where user_id = $2", "writes one of public.m"],
  ["update m set user_id = $1 where user_id = $2", "writes one of public.m: key update"],
  ["update m set body = $1 where id = $2", "writes none of public.m: several rows"],
  ["update m set body = name from u where u.id = m.user_id and u.id = $1", "writes one of public.m public.u"],
  ["update g set word = (select body from m where user_id = $1 limit $2)", "reads one of public.m"],
  ["delete from m where user_id = any ($1)", "writes some of public.m: several rows"],
  ["delete from m where user_id = $1 returning ctid", "writes one of public.m: system column"],
  ["merge into m using g on g.id = m.id when matched then delete", "writes none of public.m: merge"],
  ["lock table m in share mode", "reads none of public.m: lock table"],
  ["declare c cursor for select * from m where user_id = $1", "reads one of public.m"],
  ["PREPARE TRANSACTION $1", "reads one of : two-phase"],
  ["select from where", "unread"],
])("%s", (text, want) => expect(said(text)).toBe(want));

const statement = (text: string, extra: Partial<Statement> = {}): Statement => ({
  id: text,
  user: "app",
  text,
  calls: 100,
  average: 10,
  now: 20,
  mean: 0.5,
  asked: readStatement(text, known)!,
  routed: false,
  ...extra,
});
const counted = (...statements: Statement[]): Counted => ({ statements, unread: { statements: 0, calls: 0 }, age: 600 });

describe("what is said of a statement", () => {
  test.each([
    ["select * from m where user_id = $1", false, "fine", " (20/s, 0.5 ms)", ""],
    [
      "select * from m where body = $1",
      false,
      "costs",
      "it does not name the shard key: every shard is asked (20/s, 0.5 ms)",
      "the shard key in its conditions, if they can have it",
    ],
    [
      "select * from m where body = $1",
      true,
      "costs",
      "it does not name the shard key: every shard is asked (20/s, 0.5 ms)",
      "onAllShards or findOne of the router; or the shard key in its conditions",
    ],
    [
      "insert into m (user_id) values ($1) on conflict (user_id, id) do nothing",
      false,
      "blocks",
      "ON CONFLICT with a target fails behind the gateway: its table has no unique index (20/s, 0.5 ms)",
      "through the client router or the shards' URLs; or ON CONFLICT DO NOTHING without a target",
    ],
    ["insert into m (user_id) values ($1) on conflict (user_id, id) do nothing", true, "fine", " (20/s, 0.5 ms)", ""],
    [
      "update m set user_id = $1 where user_id = $2",
      true,
      "blocks",
      "it changes the shard key: the shard refuses a row that is another one's (20/s, 0.5 ms)",
      "leave the key out of SET; to move a row: insert it anew and delete the old one",
    ],
    [
      "select * from m where user_id = $1 for update",
      false,
      "costs",
      "it locks rows; the gateway reads in REPEATABLE READ: who has waited for a row that changed gets 40001 (20/s, 0.5 ms)",
      "through the client router or the shards' URLs; or repeat the transaction after 40001",
    ],
    ["select * from m where user_id = $1 for update", true, "fine", " (20/s, 0.5 ms)", ""],
  ])("%s, routed: %s", (text, routed, level, why, fix) => {
    expect(findingOf(statement(text, { routed }))).toEqual({ object: text, level, why, fix });
  });

  test("the most expensive are named, the others counted, good ones in one line, unread ones as well", () => {
    const bad = Array.from({ length: 27 }, (_, n) => statement(`select ${n} from m`));
    const found = statementFindings({
      ...counted(...bad, statement("select * from m where user_id = $1")),
      unread: { statements: 2, calls: 5_000 },
    });
    expect(found).toHaveLength(28);
    expect(found.slice(25)).toEqual([
      {
        object: "2 further statements",
        level: "costs",
        why: "as those above, and less time in all",
        fix: "bin/ladder doctor --json has them",
      },
      { object: "1 statement", level: "fine", why: "each finds its shard by the shard key, and its rows there", fix: "" },
      {
        object: "2 statements",
        level: "costs",
        why: "not understood as pg_stat_statements keeps them, 5,000 calls",
        fix: "look at them: bin/ladder slow-statements",
      },
    ]);
  });
});

describe("what the gateway carries", () => {
  const all = counted(
    statement("select * from m where user_id = $1", { average: 100, now: 300 }),
    statement("select * from m", { average: 10, now: 20 }),
  );
  const measured = { direct: 5_000, gateway: 1_000, sessions: 4 };

  test("a statement without the key counts once for each shard; the larger of both rates; the share that is routed is left out", () => {
    expect(loadOf(all, 4, 0, measured)).toEqual({ demand: 380, basis: "now", age: 600, routed: 0, carried: 1_000, ratio: 0.2, measured });
    expect(loadOf(counted({ ...all.statements[0]!, now: null }), 4, 0.9, null)).toMatchObject({
      demand: expect.closeTo(10),
      basis: "average",
      carried: null,
      ratio: null,
    });
    expect(loadOf(all, 4, 1, measured).demand).toBe(0);
    expect(loadOf(counted(...all.statements.map((each) => ({ ...each, routed: true }))), 4, 0, measured).demand).toBe(0);
  });

  test.each([
    [
      1_000,
      "fine",
      "380 statements/s on sharded tables in the last seconds; the gateway carries about 1,000/s (20 % of direct, measured here just now)",
    ],
    [
      500,
      "costs",
      "380 statements/s on sharded tables in the last seconds; the gateway carries about 500/s (10 % of direct, measured here just now): narrow at the next peak",
    ],
    [
      300,
      "blocks",
      "380 statements/s on sharded tables in the last seconds; the gateway carries about 300/s (6 % of direct, measured here just now)",
    ],
  ])("carried %d: %s", (gateway, level, why) => {
    const finding = gatewayFinding(loadOf(all, 4, 0, { ...measured, gateway }), all, 4);
    expect(finding).toMatchObject({ object: "gateway", level, why });
    if (level !== "fine")
      expect(finding.fix).toBe(
        "first through the client router or the shards' URLs: 300/s select * from m where user_id = $1; 80/s select * from m; then say so: --routed <share>, or --routed-role <role>",
      );
  });

  test("not measured", () => {
    expect(gatewayFinding(loadOf(all, 4, 0.9, null), all, 4)).toMatchObject({ level: "fine", fix: "" });
    expect(gatewayFinding(loadOf(all, 4, 0.5, null), all, 4)).toEqual({
      object: "gateway",
      level: "costs",
      why: "190 statements/s on sharded tables in the last seconds, 50 % of them through the gateway as you say; the gateway carries about a fifth of what the server does directly",
      fix: "bin/ladder doctor --measure says how many it carries here",
    });
  });

  test("what the application does meanwhile is its part of the server", () => {
    const quiet = capacities({ done: 5_000, others: 0, ms: 1_000 }, { done: 500, others: 0, ms: 500 });
    expect(quiet).toEqual({ direct: 5_000, gateway: 1_000 });
    const busy = capacities({ done: 2_500, others: 2_500, ms: 1_000 }, { done: 500, others: 2_500, ms: 1_000 });
    expect(busy).toEqual({ direct: 5_000, gateway: 1_000 });
    expect(capacities({ done: 0, others: 1_000, ms: 1_000 }, { done: 50, others: 1_000, ms: 1_000 }).gateway).toBeCloseTo(500);
  });
});

test.each([
  [{ rows: 1, updates: 5_000 }, 1],
  [{ rows: 10, updates: 5_000 }, 1],
  [{ rows: 1_000, updates: 5_000 }, 0],
  [{ rows: 1, updates: 900 }, 0],
  [{ rows: 1_000_000, updates: 100_000_000 }, 0],
])("hot rows of %o: %d", (writes, found) => {
  expect(hotRowsFinding("public.m", { oid: 1, writes: 0, seconds: 1, ...writes })).toHaveLength(found);
});

test("what is under way, in words", async () => {
  const row = { object: "x", what: "app", seconds: 90.4, fix: "wait" };
  const client = {
    query: async () => ({
      rows: [
        { ...row, kind: "index" },
        { ...row, kind: "prepared" },
        { ...row, kind: "transaction" },
      ],
    }),
  };
  expect((await doingFindings(client as never, [])).map(({ level, object, why }) => `${level}, ${object}: ${why}`)).toEqual([
    "blocks, x: an index is being built (app)",
    "blocks, prepared transaction x: of app, for 90 s; PREPARE TRANSACTION fails behind the gateway",
    "costs, x: a transaction that is 90 s old: a copy and the flip wait for such ones (app)",
  ]);
});

test("the report for people", () => {
  const finding = { object: "public.m", why: "it has no primary key", fix: "alter table …" };
  const shown = {
    blocks: 1,
    costs: 0,
    fine: 1,
    findings: [
      { ...finding, level: "blocks" as const },
      { ...finding, level: "fine" as const, fix: "" },
    ],
    notes: ["A note."],
  };
  expect(lines(shown)).toEqual([
    "Blocks: first to be changed (1)",
    "  public.m: it has no primary key",
    "      alter table …",
    "",
    "Fine (1)",
    "  public.m: it has no primary key",
    "",
    "A note.",
    "",
    "1 block, 0 costs, 1 fine: a climb to stage 4 is refused until nothing blocks",
  ]);
  expect(lines({ blocks: 0, costs: 0, fine: 0, findings: [], notes: [] }).at(-1)).toBe(
    "0 blocks, 0 costs, 0 fine: nothing is in the way of a climb to stage 4",
  );
});

test.each(["", "x", "-1", "1.5"])("a share of %j is refused", (text) => {
  expect(() => readShare(text)).toThrow(`--routed: got ${JSON.stringify(text)}, want a share from 0 to 1`);
});
