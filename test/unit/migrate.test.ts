/** Reading and ordering migrations, without a database. */
import { mkdtemp, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MigrationError, placeAt } from "../../agent/migrate/errors.ts";
import { readFolder, type SourceFile } from "../../agent/migrate/files.ts";
import { compareNames, isRepeatable, whyLeftOut } from "../../agent/migrate/order.ts";
import { groupScripts, parseScript } from "../../agent/migrate/script.ts";
import { enumCreated, enumExtended, relationsOf, whyOutside } from "../../agent/migrate/statements.ts";
import { folderOf, removeFolder } from "../support/migrations.ts";

const file = (text: string, name = "1.sql"): SourceFile => ({ name, path: `sql/${name}`, text, sha256: "", repeatable: false });
const parse = async (text: string) => (await parseScript(file(text))).statements;
const first = async (text: string) => (await parse(text))[0]!.node;

describe("order", () => {
  test.each([
    [
      ["10_b.sql", "9_a.sql", "1_c.sql"],
      ["1_c.sql", "9_a.sql", "10_b.sql"],
    ],
    [
      ["V10__x.sql", "V2__x.sql", "V1_1__x.sql", "V1__x.sql", "V1.10__x.sql", "V1.2__x.sql"],
      ["V1__x.sql", "V1_1__x.sql", "V1.2__x.sql", "V1.10__x.sql", "V2__x.sql", "V10__x.sql"],
    ],
    [
      ["20240101120000_b.sql", "20231231235959_a.sql"],
      ["20231231235959_a.sql", "20240101120000_b.sql"],
    ],
    [
      ["init.sql", "001_b.sql", "001_a.sql"],
      ["001_a.sql", "001_b.sql", "init.sql"],
    ],
    [
      ["b10.sql", "b9.sql", "B1.sql", "ä.sql"],
      ["B1.sql", "b9.sql", "b10.sql", "ä.sql"],
    ],
    [
      ["2_b/up.sql", "1_a/up.sql", "10_c/up.sql"],
      ["1_a/up.sql", "2_b/up.sql", "10_c/up.sql"],
    ],
    [
      ["R__a.sql", "V1__z.sql", "sub/R__b.sql"],
      ["V1__z.sql", "R__a.sql", "sub/R__b.sql"],
    ],
    [
      ["1.sql", "01.sql", "001.sql"],
      ["001.sql", "01.sql", "1.sql"],
    ],
    [
      ["1.2_x.sql", "1_x.sql", "1.10_x.sql"],
      ["1_x.sql", "1.2_x.sql", "1.10_x.sql"],
    ],
    [
      ["99999999999999999999_b.sql", "100000000000000000000_a.sql"],
      ["99999999999999999999_b.sql", "100000000000000000000_a.sql"],
    ],
  ])("%j", (given, sorted) => {
    expect([...given].sort(compareNames)).toEqual(sorted);
    expect([...given].reverse().sort(compareNames)).toEqual(sorted);
  });

  test("repeatable is Flyway's R__ only", () => {
    expect(["R__a.sql", "sub/R__a.sql", "R1__a.sql", "01_R__a.sql"].map(isRepeatable)).toEqual([true, true, false, false]);
  });

  test.each([
    ["001_a.down.sql", "a down migration"],
    ["001_a/down.sql", "a down migration"],
    ["down.sql", "a down migration"],
    ["U2__a.sql", "a Flyway undo file"],
    ["undo/001.sql", "in a folder named undo"],
    ["001_a_down.sql", "a down migration"],
    ["002_shut_down.sql", undefined],
    ["003_rollback.sql", undefined],
    ["Users.sql", undefined],
    ["001_a_up.sql", undefined],
  ])("left out: %s: %s", (name, why) => {
    expect(whyLeftOut(name, new Set(["001_a_up.sql", "001_a_down.sql", name]))).toBe(why);
  });
});

describe("folder", () => {
  const refusal = async (folder: string) => {
    const error: unknown = await readFolder(folder).catch((caught: unknown) => caught);
    return error instanceof Error ? error.message.replaceAll(folder, "sql") : "no error";
  };

  test("only .sql files, hidden ones not, text without mark and with LF", async () => {
    const folder = await folderOf({
      "2.SQL": "\uFEFFselect 2;\r\n",
      "1.sql": "select 1;\n",
      "README.md": "",
      ".3.sql": "",
      "node_modules/4.sql": "",
    });
    const { files } = await readFolder(folder);
    expect(files.map(({ name, text }) => [name, text])).toEqual([
      ["1.sql", "select 1;\n"],
      ["2.SQL", "select 2;\n"],
    ]);
    expect(files[0]!.sha256).toBe("4a45092ccf992ea92250053a80b931b787924ba61648f420555511b84f10ab6c");
    await removeFolder(folder);
  });

  test("every file that cannot be read is named at once", async () => {
    const folder = await folderOf({
      "1.sql": Buffer.from([0x61, 0x0a, 0x0a, 0xc3, 0x28]),
      "2.sql": Buffer.from("\uFEFFselect 1", "utf16le"),
      "3.sql": "select\n'\0'",
      "B1__base.sql": "select 1",
      "sqitch.plan": "",
    });
    await symlink("nowhere", join(folder, "4.sql"));
    await symlink(".", join(folder, "5.sql"));
    expect(await refusal(folder)).toBe(
      [
        "migrations: 7 problems",
        '  sql/sqitch.plan: got "a Sqitch project", want a folder of files whose names give their order',
        '  sql/1.sql: got "bytes that are not UTF-8 in line 3", want UTF-8 text',
        '  sql/2.sql: got "UTF-16 text", want UTF-8 text',
        '  sql/3.sql: got "a zero byte in line 2", want text',
        '  sql/4.sql: got "ENOENT", want a readable file',
        '  sql/5.sql: got "EISDIR", want a readable file',
        '  sql/B1__base.sql: got "a Flyway baseline", want the versioned files it stands for, or its text as V1__',
      ].join("\n"),
    );
    await removeFolder(folder);
  });

  test("a folder that is a file, or is not there", async () => {
    const folder = await folderOf({ "a.sql": "" });
    expect(await refusal(join(folder, "a.sql"))).toBe('migrations: 1 problem\n  sql: got "a file", want a readable folder of .sql files');
    expect(await refusal(join(folder, "none"))).toBe(
      'migrations: 1 problem\n  sql: got "no such folder", want a readable folder of .sql files',
    );
    await removeFolder(folder);
  });

  test("an empty folder has no files", async () => {
    const folder = await mkdtemp(join(tmpdir(), "pgladder-sql-"));
    expect(await readFolder(folder)).toEqual({ files: [], leftOut: [] });
    await removeFolder(folder);
  });
});

describe("statements", () => {
  test("are split by PostgreSQL's parser, with lines and columns in characters", async () => {
    const text =
      "-- é;\nselect 'ü;', $$;$$; /* ; */ select 2;\n\n  create function f() returns int\n  begin atomic select 1; end;\nselect 3 -- end";
    expect((await parse(text)).map(({ text: sql, line, column }) => [line, column, sql])).toEqual([
      [2, 1, "select 'ü;', $$;$$"],
      [2, 29, "select 2"],
      [4, 3, "create function f() returns int\n  begin atomic select 1; end"],
      [6, 1, "select 3 -- end"],
    ]);
  });

  test.each(["", "\n\n", "-- nothing\n", "begin;\ncommit;\n", ";;"])("none in %j", async (text) => {
    expect(await parse(text)).toEqual([]);
  });

  test.each([
    ["create index concurrently i on a (x)", "CREATE INDEX CONCURRENTLY"],
    ["create index i on a (x)", undefined],
    ["drop index concurrently i", "DROP INDEX CONCURRENTLY"],
    ["reindex index concurrently i", "REINDEX CONCURRENTLY"],
    ["reindex table a", undefined],
    ["reindex schema s", "REINDEX of more than one table"],
    ["vacuum", "VACUUM"],
    ["analyze", undefined],
    ["cluster", "CLUSTER of all tables"],
    ["cluster a using i", undefined],
    ["alter table a detach partition b concurrently", "DETACH PARTITION CONCURRENTLY"],
    ["alter table a detach partition b", undefined],
    ["alter system set work_mem = '4MB'", "ALTER SYSTEM"],
    ["create subscription s connection '' publication p", "CREATE SUBSCRIPTION"],
    ["drop subscription s", "DROP SUBSCRIPTION"],
    ["create database d", "CREATE DATABASE"],
    ["refresh materialized view concurrently v", undefined],
    ["alter type t add value 'x'", undefined],
  ])("outside a transaction: %s: %s", async (sql, why) => {
    expect(whyOutside(await first(sql))).toBe(why);
  });

  test("relations a statement names", async () => {
    const names = async (sql: string) => relationsOf(await first(sql)).map(({ schema, name }) => `${schema ?? ""}.${name}`);
    expect(await names("alter table s.a add foreign key (x) references b")).toEqual(["s.a", ".b"]);
    expect(await names("drop index s.i, j")).toEqual(["s.i", ".j"]);
    expect(await names("update a set x = (select y from c)")).toEqual([".a", ".c"]);
    expect(await names("reindex table a")).toEqual([".a"]);
    expect(await names("drop function f")).toEqual([]);
  });

  test("enum types", async () => {
    expect(enumCreated(await first("create type s.mood as enum ('a')"))).toBe("mood");
    expect(enumExtended(await first("alter type s.mood add value 'b'"))).toBe("mood");
    expect(enumExtended(await first("alter type s.mood rename value 'a' to 'c'"))).toBeUndefined();
  });

  test("group into as few transactions as possible", async () => {
    const texts = [
      "create type mood as enum ('a')",
      "alter type mood add value 'b'",
      "select 1",
      "vacuum",
      "select 2",
      "alter type mood add value 'c'",
      "select 3",
      "-- ladder: no transaction\nselect 4",
      "-- ladder: no transaction\nselect 5",
    ];
    const scripts = await Promise.all(texts.map((text, i) => parseScript(file(text, `${i}.sql`))));
    expect(groupScripts(scripts).map((group) => group.map((script) => script.file.name[0]).join(""))).toEqual([
      "012",
      "3",
      "45",
      "6",
      "7",
      "8",
    ]);
  });

  test("a syntax error at the end of a long line shows the part around it", async () => {
    const error: unknown = await parseScript(file(`select ${"1 + ".repeat(100)};`)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(MigrationError);
    expect((error as MigrationError).message.split("\n").slice(0, 3)).toEqual([
      'sql/1.sql:1:408: syntax error at or near ";" (SQLSTATE 42601)',
      `  1 |  ${"+ 1 ".repeat(14)}+ ;`,
      `${" ".repeat(6 + 59)}^`,
    ]);
  });

  test("places count characters, not code units", () => {
    expect(placeAt("a\n😀b", 3)).toEqual({ line: 2, column: 2 });
    expect(placeAt("abc", 1, { line: 4, column: 10 })).toEqual({ line: 4, column: 11 });
  });
});
