/** Migrations without a transaction, and locks that others hold. Cannot prove: what a lock of hours does to an application. */
import { describe, expect, test } from "vitest";
import { ms } from "../../plan/types.ts";
import { addFiles, bench, migrate } from "../support/migrations.ts";

const here = bench();
const TWO = { "001_a.sql": "create table a (x int);\n", "002_b.sql": "create table b (x int);\ninsert into b values (1);\n" };

describe("files that cannot run in a transaction", () => {
  test("run statement by statement between transactions", async () => {
    const run = await migrate(
      here.db,
      await here.folder({
        ...TWO,
        "003_index.sql": "create index concurrently a_x on a (x);\nvacuum a;\n",
        "004_marked.sql": "-- ladder: no transaction\ndo $$ begin insert into a values (1); commit; insert into a values (2); end $$;\n",
      }),
    );
    expect(run.error).toBeUndefined();
    expect(run.log.slice(3)).toEqual([
      "sql/003_index.sql: applied, 2 statements, without a transaction (CREATE INDEX CONCURRENTLY)",
      "sql/004_marked.sql: applied, 1 statement, without a transaction (its first lines ask for no transaction)",
    ]);
    expect(await here.query("select tableowner, hasindexes from pg_tables where tablename = 'a'")).toEqual([
      { tableowner: "app", hasindexes: true },
    ]);
    expect((await here.state()).ledger).toEqual([
      "001_a.sql applied",
      "002_b.sql applied",
      "003_index.sql applied",
      "004_marked.sql applied",
    ]);
  });

  test("a first statement that fails leaves the file pending; the files before it stay", async () => {
    const path = await here.folder({ ...TWO, "003_index.sql": "create index concurrently a_x on nope (x);\n" });
    const run = await migrate(here.db, path);
    expect(run.error).toBe(
      [
        'sql/003_index.sql:1:1: relation "nope" does not exist (SQLSTATE 42P01)',
        "  1 | create index concurrently a_x on nope (x);",
        "      ^",
      ].join("\n"),
    );
    expect(await here.state()).toEqual({ tables: ["a", "b"], ledger: ["001_a.sql applied", "002_b.sql applied"] });
    await addFiles(path, { "003_index.sql": "create index concurrently a_x on a (x);\n" });
    expect((await migrate(here.db, path)).result?.applied).toEqual(["003_index.sql"]);
  });

  test("a later statement that fails: the next run names the file, how far it came, and what to do", async () => {
    const path = await here.folder({ ...TWO, "003_index.sql": "create index concurrently b_x on b (x);\nselect 1 / (x - 1) from b;\n" });
    await migrate(here.db, path);
    const run = await migrate(here.db, path);
    expect(run.error?.replace(/run of .{16}/, "run of DAY")).toBe(
      'app migrations (nothing was changed): 1 problem\n  sql/003_index.sql: got "a run of DAY that stopped after 1 of its statements: ' +
        `${path}/003_index.sql:2:1: division by zero (SQLSTATE 22012)`.replace(path, "sql") +
        "\", want what it left checked; then, as ladder_admin, finish it by hand and update ladder.migration set state = 'applied' where set = 'app' and " +
        "file = '003_index.sql', or undo it and delete from ladder.migration where set = 'app' and file = '003_index.sql'",
    );
    await here.query("update ladder.migration set state = 'applied' where set = 'app' and file = '003_index.sql'");
    expect((await migrate(here.db, path)).result).toEqual({ applied: [], already: 3 });
  });

  test("an invalid index that a failed build leaves is named, not taken for a good one", async () => {
    const path = await here.folder({
      "1.sql": "create table a (x int);\ninsert into a values (1), (1);\n",
      "2.sql": "create unique index concurrently if not exists a_x on a (x);\n",
    });
    expect((await migrate(here.db, path)).error).toContain('could not create unique index "a_x"');
    expect((await migrate(here.db, path)).error).toContain(
      'could not create unique index \\"a_x\\" (SQLSTATE 23505); invalid index a_x is left',
    );
    await here.query("delete from ladder.migration where file = '2.sql'");
    expect((await migrate(here.db, path)).error).toBe(
      [
        "sql/2.sql:1:1: index a_x is there but invalid: an earlier CREATE INDEX CONCURRENTLY did not finish",
        "  1 | create unique index concurrently if not exists a_x on a (x);",
        "      ^",
        "want: drop index concurrently a_x; then the migration again",
      ].join("\n"),
    );
    await here.query("drop index a_x; delete from a");
    expect((await migrate(here.db, path)).result?.applied).toEqual(["2.sql"]);
  });

  test("an enum value may be used by the next file, as with tools that commit after each", async () => {
    const path = await here.folder({ "1.sql": "create type mood as enum ('ok');\ncreate table a (m mood);\n" });
    await migrate(here.db, path);
    await addFiles(path, { "2.sql": "alter type mood add value 'sad';\n", "3.sql": "insert into a values ('sad');\n" });
    expect((await migrate(here.db, path)).result?.applied).toEqual(["2.sql", "3.sql"]);
  });
});

describe("locks", () => {
  test("a lock held by another session: retried, then refused with its holder; nothing changed", async () => {
    const path = await here.folder({ "1.sql": "create table a (x int);\n" });
    await migrate(here.db, path);
    const holder = await here.db.connect("app");
    await holder.query("set application_name = 'report'");
    await holder.query("begin");
    await holder.query("select * from a");
    await addFiles(path, { "2.sql": "create table c (x int);\nalter table a add y int;\n" });
    const run = await migrate(here.db, path, { lockTimeout: ms(50), tries: 3 });
    const HOLDER = /pid \d+ \(report, idle in transaction, in a transaction since \d+ s\)/g;
    expect(run.error?.replace(HOLDER, "HOLDER")).toBe(
      [
        "sql/2.sql:2:1: canceling statement due to lock timeout (SQLSTATE 55P03)",
        "  2 | alter table a add y int;",
        "      ^",
        "tried 3 times, each waiting up to 50 ms; nothing of the statement was applied",
        "a is locked by HOLDER: select * from a",
        "want: a quieter moment, or the session above ended",
      ].join("\n"),
    );
    expect(run.log.slice(1).map((line) => line.replace(HOLDER, "HOLDER"))).toEqual([
      "sql/2.sql:2: no lock within 50 ms, try 2 of 3 in 250 ms; a is locked by HOLDER: select * from a",
      "sql/2.sql:2: no lock within 50 ms, try 3 of 3 in 500 ms; a is locked by HOLDER: select * from a",
    ]);
    await holder.end();
    expect(await here.state()).toEqual({ tables: ["a"], ledger: ["1.sql applied"] });
  });

  test("a lock that is freed in time: the run goes on by itself", async () => {
    const path = await here.folder({ "1.sql": "create table a (x int);\n" });
    await migrate(here.db, path);
    const holder = await here.db.connect("app");
    await holder.query("begin; select * from a");
    await addFiles(path, { "2.sql": "alter table a add y int;\n" });
    const [run] = await Promise.all([
      migrate(here.db, path, { lockTimeout: ms(100) }),
      new Promise((resolve) => setTimeout(resolve, 300)).then(() => holder.query("commit")),
    ]);
    expect(run.result?.applied).toEqual(["2.sql"]);
    expect(run.log.some((line) => line.includes("try 2 of 6"))).toBe(true);
  });
});
