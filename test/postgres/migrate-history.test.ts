/** Edited, removed and inserted migrations are refused. Cannot prove: edits of ladder.migration by hand. */
import { describe, expect, test } from "vitest";
import { addFiles, bench, migrate, removeFolder } from "../support/migrations.ts";

const here = bench();
const TWO = { "001_a.sql": "create table a (x int);\n", "002_b.sql": "create table b (x int);\ninsert into b values (1);\n" };

describe("history", () => {
  const REFUSED = "app migrations (nothing was changed): 1 problem\n  ";
  const DAY = /\d{4}-\d\d-\d\d \d\d:\d\d/g;

  test("edited, removed, renamed and inserted files are named together and refused", async () => {
    const path = await here.folder({ ...TWO, "003_c.sql": "select 3;\n", "004_d.sql": "select 4;\n" });
    await migrate(here.db, path);
    await removeFolder(path);
    const after = await migrate(
      here.db,
      await here.folder({
        "001_a.sql": "create table a (x bigint);\n",
        "0015_new.sql": "select 15;\n",
        "002_renamed.sql": TWO["002_b.sql"],
        "003_ahead.sql": "select 0;\n",
        "004_d.sql": "select 4;\n",
        "005_e.sql": "create table e (x int);\n",
      }),
    );
    expect(after.error?.replace(DAY, "DAY")).toBe(
      [
        "app migrations (nothing was changed): 4 problems",
        '  sql/001_a.sql: got "edited after it was applied (sha256 791fe64a553f…)", want the text applied on DAY (sha256 6f85aa62aa92…); put the change into a new file',
        '  sql/002_b.sql: got "renamed to 002_renamed.sql", want the file as it was applied on DAY; undo its work in a new file',
        '  sql/003_c.sql: got "removed", want the file as it was applied on DAY; undo its work in a new file',
        '  sql/003_ahead.sql: got "a new file before applied ones", want a name that sorts after 004_d.sql',
      ].join("\n"),
    );
    expect((await here.state()).tables).toEqual(["a", "b"]);
  });

  test("another folder altogether", async () => {
    await migrate(here.db, await here.folder(TWO));
    const run = await migrate(here.db, await here.folder({ "1.sql": "select 1" }));
    expect(run.error).toBe(
      `${REFUSED}sql: got "none of the 2 files applied to this database", want the folder this database was made from`,
    );
  });

  test("line ends and a byte order mark are no edit", async () => {
    await migrate(here.db, await here.folder(TWO));
    const windows = Object.fromEntries(Object.entries(TWO).map(([name, text]) => [name, `\uFEFF${text.replaceAll("\n", "\r\n")}`]));
    expect((await migrate(here.db, await here.folder(windows))).result).toEqual({ applied: [], already: 2 });
  });

  test("a repeatable file runs again when its text changes, after the versioned ones", async () => {
    const path = await here.folder({
      "R__view.sql": "create or replace view v as select 1 as x;\n",
      "V1__a.sql": "create table a (x int);\n",
    });
    expect((await migrate(here.db, path)).result?.applied).toEqual(["V1__a.sql", "R__view.sql"]);
    expect((await migrate(here.db, path)).result?.applied).toEqual([]);
    await addFiles(path, { "R__view.sql": "create or replace view v as select 2 as x;\n", "V2__b.sql": "create table b (x int);\n" });
    expect((await migrate(here.db, path)).result?.applied).toEqual(["V2__b.sql", "R__view.sql"]);
    expect(await here.query("select x from v")).toEqual([{ x: 2 }]);
  });
});
