/** Folders that other tools' users wrote come up unchanged, or are refused with what to do. Cannot prove: every tool's every dialect. */
import { expect, test } from "vitest";
import { bench, migrate } from "../support/migrations.ts";

const here = bench();

async function apply(files: Record<string, string | Buffer>) {
  const run = await migrate(here.db, await here.folder(files));
  return { ...run, tables: (await here.state()).tables };
}

test("Flyway: versions by number, undo files left out", async () => {
  const run = await apply({
    "V10__c.sql": "create table c (x int references b (x));",
    "V2__b.sql": "create table b (x int primary key);",
    "V1__a.sql": "create table a (x int);",
    "U1__a.sql": "drop table a;",
    "V1.1__a_more.sql": "alter table a add y int;",
  });
  expect(run.result?.applied).toEqual(["V1__a.sql", "V1.1__a_more.sql", "V2__b.sql", "V10__c.sql"]);
  expect(run.log[0]).toBe("sql/U1__a.sql: left out, a Flyway undo file");
  expect(run.tables).toEqual(["a", "b", "c"]);
});

test("golang-migrate and node-pg-migrate: timestamps, up and down pairs", async () => {
  const run = await apply({
    "20240101120000_a.up.sql": "create table a (x int);",
    "20240101120000_a.down.sql": "drop table a;",
    "20240301000000_b-up.sql": "create table b (x int);",
    "20240301000000_b-down.sql": "drop table b;",
  });
  expect(run.tables).toEqual(["a", "b"]);
  expect(run.log.slice(0, 2)).toEqual([
    "sql/20240101120000_a.down.sql: left out, a down migration",
    "sql/20240301000000_b-down.sql: left out, a down migration",
  ]);
});

test("Prisma and Diesel: a folder a migration", async () => {
  const run = await apply({
    "migration_lock.toml": 'provider = "postgresql"',
    "20240101120000_init/migration.sql": "create table a (x int);",
    "20240201120000_b/up.sql": "create table b (x int);",
    "20240201120000_b/down.sql": "drop table b;",
  });
  expect(run.result?.applied).toEqual(["20240101120000_init/migration.sql", "20240201120000_b/up.sql"]);
  expect(run.tables).toEqual(["a", "b"]);
});

test("dbmate, goose and sql-migrate: the half that undoes is not run", async () => {
  const run = await apply({
    "1.sql": "-- migrate:up\ncreate table a (x int);\n\n-- migrate:down\ndrop table a;\n",
    "2.sql": "-- +goose Up\n-- +goose StatementBegin\ncreate table b (x int);\n-- +goose StatementEnd\n-- +goose Down\ndrop table b;\n",
    "3.sql": "-- +migrate Up\ncreate table c (x int);\n-- +migrate Down\ndrop table c;\n",
    "4.sql": "-- Up Migration\ncreate table d (x int);\n-- Down Migration\ndrop table d;\n",
    "5.sql": "-- migrate:up transaction:false\nvacuum;\n-- migrate:down\n",
  });
  expect(run.error).toBeUndefined();
  expect(run.tables).toEqual(["a", "b", "c", "d"]);
  expect(run.log[1]).toBe("sql/1.sql: lines 4-6 undo the migration: left out");
});

const DUMP = String.raw`--
-- PostgreSQL database dump
--
\restrict PdFkYbQwz0

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
SET row_security = off;

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
COMMENT ON EXTENSION pg_trgm IS 'text similarity measurement';
CREATE SCHEMA shop;
ALTER SCHEMA shop OWNER TO postgres;
CREATE TYPE shop.state AS ENUM ('open', 'done');
SET default_table_access_method = heap;
CREATE TABLE shop.orders (id bigint NOT NULL, state shop.state, note text);
ALTER TABLE shop.orders OWNER TO postgres;
CREATE SEQUENCE shop.orders_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE shop.orders_id_seq OWNED BY shop.orders.id;
ALTER TABLE ONLY shop.orders ALTER COLUMN id SET DEFAULT nextval('shop.orders_id_seq'::regclass);
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$
begin
  new.note := coalesce(new.note, 'a; b\c');
  return new;
end $$;
ALTER TABLE ONLY shop.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
CREATE INDEX orders_note ON shop.orders USING gin (note public.gin_trgm_ops);
CREATE TRIGGER touch BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch();
\unrestrict PdFkYbQwz0
`;

test("a dump of pg_dump, with owners, its own schema, extension and psql guards; app_ro reads it", async () => {
  const run = await apply({ "001_dump.sql": DUMP, "002_rows.sql": "begin;\ninsert into shop.orders (state) values ('open');\ncommit;\n" });
  expect(run.error).toBeUndefined();
  expect(run.log).toContain("sql/001_dump.sql: line 14: OWNER TO left out (2 in all), everything belongs to app");
  expect(run.log).toContain("sql/001_dump.sql: line 12: COMMENT ON EXTENSION left out (only the extension's owner may)");
  const reader = await here.db.connect("app_ro");
  expect((await reader.query("select * from shop.orders")).rows).toEqual([{ id: "1", state: "open", note: "a; b\\c" }]);
});

test.each([
  ["\\connect other\n", "1:1: \\connect is a psql command, not SQL"],
  ["select 1;\n\\i more.sql\n", "2:1: \\i is a psql command, not SQL"],
  ["create table a (x int);\nCOPY a (x) FROM stdin;\n1\n\\.\n", "3:1: rows for COPY … FROM stdin, which only psql reads from a file"],
  ["create table a (x int);\nCOPY a (x) FROM stdin;\n\\.\n", "3:1: rows for COPY … FROM stdin, which only psql reads from a file"],
  ["copy pg_class to stdout;", "1:1: COPY … TO stdout has no reader here"],
  ["begin;\nselect 1;\nrollback;\n", "3:1: ROLLBACK in a migration"],
  ["select 1;\ncommit;\n", "2:1: COMMIT without BEGIN"],
  ["begin;\nselect 1;\n", "1:1: BEGIN without COMMIT"],
  ["begin;\nbegin;\ncommit;\n", "2:1: BEGIN inside a transaction"],
  ["begin isolation level serializable;\ncommit;\n", "1:1: begin isolation level serializable asks for a transaction of its own"],
  ["begin;\nvacuum;\ncommit;\n", "1:1: begin in a file that runs without a transaction"],
  ["set role postgres;", "1:1: a change of the role: migrations run as the owner of the application's schema"],
  ["reset session authorization;", "1:1: a change of the role: migrations run as the owner of the application's schema"],
  ["discard all;", "1:1: DISCARD ALL would release the migrator's lock"],
])("refused before anything runs: %j", async (sql, message) => {
  const run = await apply({ "1.sql": "create table first (x int);", "2.sql": sql });
  expect(run.error?.split("\n")[0]).toBe(`sql/2.sql:${message}`);
  expect(run.error?.split("\n").at(-1)).toMatch(/^want: /);
  expect(run.tables).toEqual([]);
});
