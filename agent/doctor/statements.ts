/** The application's statements as PostgreSQL has counted them. */
import type pg from "pg";
import { count, type Finding, type Level } from "./finding.ts";
import { type Asked, readStatement, type Trouble } from "./parse.ts";
import type { KnownTable } from "./scope.ts";

/** A statement on sharded tables. */
export interface Statement {
  id: string;
  user: string;
  text: string;
  calls: number;
  /** Calls a second since it was first counted, at most a day ago or whenever the counters began. */
  average: number;
  /** Calls a second between two looks; null where there was one look. */
  now: number | null;
  /** Mean, ms. */
  mean: number;
  asked: Asked;
  /** It comes through the client router or the shards' URLs, so nothing that the gateway does matters to it. */
  routed: boolean;
}

/** What was counted in all. */
export interface Counted {
  statements: Statement[];
  /** Statements of the application that the parser could not read, and their calls. */
  unread: { statements: number; calls: number };
  /** Seconds since the counters began. */
  age: number;
}

interface Row {
  id: string;
  user: string;
  text: string;
  calls: number;
  age: number;
  mean: number;
}

const HOME = `select quote_ident(nspname) as home from pg_extension e join pg_namespace n on n.oid = extnamespace
  where extname = 'pg_stat_statements' and current_setting('shared_preload_libraries') like '%pg_stat_statements%'`;

const OURS =
  "s.dbid = (select oid from pg_database where datname = current_database()) and s.calls > 0 and not r.rolsuper and r.rolname !~ '^(ladder_|rds|pg_)'";

const homeOf = async (client: pg.Client): Promise<string | undefined> => (await client.query<{ home: string }>(HOME)).rows[0]?.home;

/** Statements that the application has sent so far; 0 without pg_stat_statements. */
export async function callsSoFar(client: pg.Client): Promise<number> {
  const home = await homeOf(client);
  if (home === undefined) return 0;
  const { rows } = await client.query<{ calls: number }>(
    `select coalesce(sum(s.calls), 0)::float8 as calls from ${home}.pg_stat_statements(false) s join pg_roles r on r.oid = s.userid where ${OURS}`,
  );
  return rows[0]!.calls;
}

const rowsOf = (home: string) => `
select s.queryid::text || '/' || r.rolname as id, r.rolname as user, min(s.query) as text, sum(s.calls)::float8 as calls,
  greatest(extract(epoch from clock_timestamp() - min(s.stats_since)), 1)::float8 as age, (sum(s.total_exec_time) / sum(s.calls))::float8 as mean
 from ${home}.pg_stat_statements s join pg_roles r on r.oid = s.userid
where ${OURS}
group by s.queryid, r.rolname`;

/** Others, such as SET and DEALLOCATE, are none of the gateway's business. */
const ON_ROWS = /^[\s(]*(select|insert|update|delete|merge|with|values|table)\b/i;

const wait = (seconds: number) => new Promise((resolve) => setTimeout(resolve, 1_000 * seconds));

/**
 * Statements of the application that touch sharded tables; undefined without pg_stat_statements. The parser is loaded before.
 *
 * @param seconds between two looks; 0: one look
 */
export async function readStatements(
  client: pg.Client,
  known: readonly KnownTable[],
  { seconds, routed, routedRoles }: { seconds: number; routed: number; routedRoles: readonly string[] },
): Promise<Counted | undefined> {
  const home = await homeOf(client);
  if (home === undefined) return undefined;
  const look = async () => ({ rows: (await client.query<Row>(rowsOf(home))).rows, at: performance.now() });
  const before = seconds > 0 ? await look() : undefined;
  if (before) await wait(seconds);
  const { rows, at } = await look();
  const passed = before ? (at - before.at) / 1_000 : 0;
  const earlier = new Map(before?.rows.map(({ id, calls }) => [id, calls]));
  const nowOf = ({ id, calls }: Row) => (before ? Math.max(0, calls - (earlier.get(id) ?? 0)) / passed : null);
  const statements: Statement[] = [];
  const unread = { statements: 0, calls: 0 };
  for (const row of rows) {
    const asked = readStatement(row.text, known);
    if (asked === null && !ON_ROWS.test(row.text)) continue;
    if (asked === null) {
      unread.statements++;
      unread.calls += row.calls;
    } else if (asked)
      statements.push({
        ...row,
        text: row.text.replace(/\s+/g, " ").trim(),
        average: row.calls / row.age,
        now: nowOf(row),
        asked,
        routed: routed >= 1 || routedRoles.includes(row.user),
      });
  }
  return {
    statements: statements.sort((a, b) => b.calls * b.mean - a.calls * a.mean || a.text.localeCompare(b.text)),
    unread,
    age: Math.max(1, ...rows.map(({ age }) => age)),
  };
}

const ROUTER = "through the client router or the shards' URLs";

/** What to say of each trouble. `everywhere`: also where the gateway is not in the way. */
const SAID: Readonly<Record<Trouble, { level: Level; why: string; fix: string; everywhere?: true }>> = {
  "conflict target": {
    level: "blocks",
    why: "ON CONFLICT with a target fails behind the gateway: its table has no unique index",
    fix: `${ROUTER}; or ON CONFLICT DO NOTHING without a target`,
  },
  merge: { level: "blocks", why: "MERGE fails behind the gateway", fix: `${ROUTER}; or INSERT … ON CONFLICT DO NOTHING, then UPDATE` },
  "key update": {
    level: "blocks",
    why: "it changes the shard key: the shard refuses a row that is another one's",
    fix: "leave the key out of SET; to move a row: insert it anew and delete the old one",
    everywhere: true,
  },
  "system column": {
    level: "blocks",
    why: "RETURNING of a system column fails behind the gateway",
    fix: `${ROUTER}; or return the primary key`,
  },
  sample: { level: "blocks", why: "TABLESAMPLE fails behind the gateway", fix: `${ROUTER}; or where random() < …` },
  "two-phase": {
    level: "blocks",
    why: "PREPARE TRANSACTION fails where a transaction has reached a shard through the gateway",
    fix: ROUTER,
  },
  "row lock": {
    level: "costs",
    why: "it locks rows; the gateway reads in REPEATABLE READ: who has waited for a row that changed gets 40001",
    fix: `${ROUTER}; or repeat the transaction after 40001`,
  },
  "several rows": {
    level: "costs",
    why: "it writes rows of several keys: the commit over several shards is not atomic",
    fix: "a statement for each key",
    everywhere: true,
  },
  "join off the key": {
    level: "costs",
    why: "it joins sharded tables by something else than their shard keys: the gateway fetches both sides",
    fix: "the same shard key in both tables, and in the join",
    everywhere: true,
  },
  "lock table": {
    level: "costs",
    why: "LOCK TABLE locks the gateway's table: who comes straight to the shards does not wait",
    fix: "pg_advisory_xact_lock on the shard of the key",
    everywhere: true,
  },
};

const RANK: Record<Level, number> = { fine: 0, costs: 1, blocks: 2 };
/** Statements that are named one by one, the most expensive first. */
const NAMED = 25;

/** A finding for each statement that is not simply fine, and one for those that are. */
export function statementFindings({ statements, unread }: Counted): Finding[] {
  const found = statements.map((statement) => ({ statement, finding: findingOf(statement) }));
  const worse = found.filter(({ finding }) => finding.level !== "fine");
  const further = (level: Level) => worse.slice(NAMED).filter(({ finding }) => finding.level === level).length;
  const good = found.length - worse.length;
  return [
    ...worse.slice(0, NAMED).map(({ finding }) => finding),
    ...(["blocks", "costs"] as const).flatMap((level) =>
      further(level) > 0
        ? [
            {
              object: `${further(level)} further statements`,
              level,
              why: "as those above, and less time in all",
              fix: "bin/ladder doctor --json has them",
            },
          ]
        : [],
    ),
    ...(good > 0
      ? [
          {
            object: `${good} statement${good > 1 ? "s" : ""}`,
            level: "fine" as const,
            why: "each finds its shard by the shard key, and its rows there",
            fix: "",
          },
        ]
      : []),
    ...(unread.statements > 0
      ? [
          {
            object: `${unread.statements} statement${unread.statements > 1 ? "s" : ""}`,
            level: "costs" as const,
            why: `not understood as pg_stat_statements keeps them, ${count(unread.calls)} calls`,
            fix: "look at them: bin/ladder slow-statements",
          },
        ]
      : []),
  ];
}

/** The statement's own finding: all that there is to say, at the highest of the levels. */
export function findingOf({ text, asked, average, now, mean, routed }: Statement): Finding {
  const said = asked.troubles.map((trouble) => SAID[trouble]).filter(({ everywhere }) => everywhere || !routed);
  if (asked.bound === "none" && !asked.troubles.some((each) => ["join off the key", "merge", "lock table"].includes(each)))
    said.push({
      level: "costs",
      why: "it does not name the shard key: every shard is asked",
      fix: routed
        ? "onAllShards or findOne of the router; or the shard key in its conditions"
        : "the shard key in its conditions, if they can have it",
    });
  const level = said.reduce<Level>((worst, each) => (RANK[each.level] > RANK[worst] ? each.level : worst), "fine");
  return {
    object: text.length > 160 ? `${text.slice(0, 159)}…` : text,
    level,
    why: `${[...new Set(said.map(({ why }) => why))].join("; ")} (${count(Math.max(average, now ?? 0))}/s, ${count(mean)} ms)`,
    fix: [...new Set(said.map(({ fix }) => fix))].join("; "),
  };
}
