/** The SMALLINT values on real PostgreSQL: functions, checks, comments and views agree with their source. Cannot prove: Citus. */
import { readFileSync } from "node:fs";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyMigrations } from "../../agent/migrate/index.ts";
import { ms } from "../../plan/types.ts";
import { commentOf, readDomains } from "../../scripts/values.ts";
import { platformTemplate } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";

const domains = readDomains(readFileSync(new URL("../../sql/values.yaml", import.meta.url), "utf8"));
const columns = domains.flatMap((domain) => domain.columns.map((column) => ({ column, domain })));

let server: TestServer;
let db: TestDatabase;
let client: Client;

beforeAll(async () => {
  server = await startPostgres();
  db = await server.createDatabase({ template: await platformTemplate(server) });
  const connect = () => db.connect();
  await applyMigrations({ connect, folder: "sql/app", set: "app", role: "app", lockTimeout: ms(2000), log: () => undefined });
  client = await db.connect("app");
});
afterAll(() => server?.stop());

async function rowsOf(sql: string, values: unknown[] = []): Promise<unknown[]> {
  return (await client.query({ text: sql, values, rowMode: "array" })).rows;
}

describe.each(domains)("$name", ({ name, values }) => {
  test("numbers become names and names numbers; others become null", async () => {
    const numbers = [-1, ...values.map((v) => v.number), 12];
    const names = [null, ...values.map((v) => v.name), null];
    expect(await rowsOf(`select array_agg(${name}_name(n) order by i) from unnest($1::int[]) with ordinality t (n, i)`, [numbers])).toEqual(
      [[names]],
    );
    const asked = ["", ...values.map((v) => v.name), "Web"];
    const answers = [null, ...values.map((v) => v.number), null];
    expect(await rowsOf(`select array_agg(${name}_value(n) order by i) from unnest($1::text[]) with ordinality t (n, i)`, [asked])).toEqual(
      [[answers]],
    );
    expect(await rowsOf(`select pg_typeof(${name}_value('')), ${name}_name(null), ${name}_value(null)`)).toEqual([
      ["smallint", null, null],
    ]);
  });
});

test("the view lists every value of the source", async () => {
  expect(await rowsOf("select domain, value, name, description from domain_values")).toEqual(
    domains.flatMap((domain) => domain.values.map((v) => [domain.name, v.number, v.name, v.description])),
  );
});

describe.each(columns)("$column", ({ column, domain }) => {
  const [table, name] = column.split(".") as [string, string];

  test("is a SMALLINT, and its comment names the values", async () => {
    expect(
      await rowsOf(
        "select format_type(atttypid, null), col_description(attrelid, attnum) from pg_attribute where attrelid = $1::regclass and attname = $2",
        [table, name],
      ),
    ).toEqual([["smallint", commentOf(domain)]]);
  });

  test("its check accepts the source's numbers and no others", async () => {
    const [[expression]] = (await rowsOf(
      `select pg_get_expr(c.conbin, c.conrelid) from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and c.conkey = array[a.attnum]
       where c.contype = 'c' and c.conrelid = $1::regclass and a.attname = $2`,
      [table, name],
    )) as [[string]];
    const accepted = await rowsOf(
      `select array_agg(${name} order by ${name}) from (select n::smallint as ${name} from generate_series(-32768, 32767) n) s where ${expression}`,
    );
    expect(accepted).toEqual([[domain.values.map((v) => v.number)]]);
  });
});

test("every SMALLINT column with a check on values is in the source", async () => {
  const found = await rowsOf(
    `select c.conrelid::regclass || '.' || a.attname from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and c.conkey = array[a.attnum]
     where c.contype = 'c' and a.atttypid = 'smallint'::regtype and c.connamespace = 'public'::regnamespace`,
  );
  // A kind of name and a share in percent belong to one table each.
  const own = ["user_handles.kind", "feature_flags.percent"];
  expect(found.flat().sort()).toEqual([...columns.map(({ column }) => column), ...own].sort());
});

async function planOf(sql: string): Promise<string> {
  return (await rowsOf(`explain (costs off) ${sql}`)).flat().join("\n");
}

test("a name in a condition is a constant to the planner", async () => {
  await client.query("set enable_seqscan = off");
  expect(
    await planOf("select * from auto_tasks where status = task_status_value('running') and status < task_status_value('completed')"),
  ).toMatch(/Index Cond: \(status = '2'::smallint\)/);
  await client.query("reset enable_seqscan");
});

describe("the views with names", () => {
  test("one beside each table, with its columns in order, text for the numbers", async () => {
    const tables = [...new Set(columns.map(({ column }) => column.split(".")[0]!))];
    for (const table of tables) {
      const want = await rowsOf(
        `select attname::text, case when attrelid::regclass || '.' || attname = any ($2) then 'text' else format_type(atttypid, null) end
         from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum`,
        [table, columns.map(({ column }) => column)],
      );
      const got = await rowsOf(
        "select attname::text, format_type(atttypid, null) from pg_attribute where attrelid = $1::regclass and attnum > 0 order by attnum",
        [`${table}_named`],
      );
      expect(got, table).toEqual(want);
    }
  });

  test("show the names, and use the table's indexes", async () => {
    await client.query(
      "insert into message_history (user_id, session_id, message_index, role, message_type, sync_status) values (7, 8, 0, 10, 3, 2)",
    );
    await client.query(
      "insert into auto_tasks (user_id, status, priority, execution_mode, risk_level, intent_type) values (7, 4, 3, 2, 1, 8)",
    );
    expect(await rowsOf("select role, message_type, sync_status from message_history_named where session_id = 8")).toEqual([
      ["compact", "video", "conflict"],
    ]);
    expect(await rowsOf("select status, priority, execution_mode, risk_level, intent_type from auto_tasks_named")).toEqual([
      ["waiting_approval", "urgent", "autonomous", "low", "query"],
    ]);
    await client.query("set enable_seqscan = off");
    expect(await planOf("select * from message_history_named where session_id = 8 order by message_index limit 20")).toMatch(
      /Index Scan (using|on) idx_messages_session\b/,
    );
    await client.query("reset enable_seqscan");
  });

  test("follow the name when another table takes it, and prune its partitions", async () => {
    await client.query("begin");
    await client.query(`alter table messages rename to messages_before;
      create table messages (like messages_before including defaults) partition by range (inserted_at);
      create table messages_2025_01 partition of messages for values from ('2025-01-01Z') to ('2025-02-01Z');
      create table messages_2025_02 partition of messages for values from ('2025-02-01Z') to ('2025-03-01Z');
      insert into messages (user_id, conversation_id, inserted_at, message_type) values (1, 2, '2025-02-03Z', 1)`);
    expect(await rowsOf("select user_id, message_type from messages_named")).toEqual([["1", "image"]]);
    expect(await planOf("select * from messages_named where inserted_at >= '2025-02-02Z'")).toMatch(/^Seq Scan on messages_2025_02/);
    await client.query("refresh materialized view messages_daily");
    expect(await rowsOf("select day::text, message_type, messages, senders from messages_daily")).toEqual([["2025-02-03", 1, "1", "1"]]);
    await client.query("rollback");
  });

  test("give a reader only the rows that the table's policies give", async () => {
    await client.query(`insert into user_sessions (user_id, tenant_id) values (1, 1), (2, 2);
      alter table user_sessions enable row level security;
      create policy one on user_sessions to app_ro using (tenant_id = 1)`);
    const reader = await db.connect("app_ro");
    const seen = async (relation: string) => (await reader.query(`select user_id, channel from ${relation}`)).rows;
    expect([await seen("user_sessions"), await seen("user_sessions_named")]).toEqual([
      [{ user_id: "1", channel: 0 }],
      [{ user_id: "1", channel: "web" }],
    ]);
    await reader.end();
  });
});
