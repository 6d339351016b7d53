/** C3, C4: the numbers, where they come from, and every mistake at once. That the pools keep to them: test/postgres/client-pool.test.ts. */
import { describe, expect, test } from "vitest";
import { driverUrl, poolSettings, readConfig } from "../../client/config.ts";
import { InputError, poolSize, quote, quoteTable } from "../../client/index.ts";
import { parseLsn, showLsn } from "../../client/lsn.ts";
import { ms } from "../../plan/types.ts";

const WRITE = "postgresql://app:secret@db:6432/app?sslmode=require";
const READ = "postgresql://app_ro:secret@db:6432/app_read?sslmode=require";

test("the requirement documents' numbers are the defaults", () => {
  expect(readConfig({ writeUrl: WRITE, readUrl: READ, env: {} })).toEqual({
    writeUrl: WRITE,
    readUrl: READ,
    applicationName: "pgladder-client",
    writeSize: 20,
    readSize: 50,
    min: 10,
    overflow: 30,
    checkoutTimeout: 30_000,
    connectTimeout: 5_000,
    recycle: 3_600_000,
    idle: 300_000,
    lifetime: 1_800_000,
    checkAfter: 1_000,
    maxLag: 10_000,
    readWait: 50,
  });
});

test("each has its variable, in seconds; code goes before it", () => {
  const env = {
    PGLADDER_WRITE_URL: WRITE,
    PGLADDER_READ_URL: READ,
    PGLADDER_APPLICATION_NAME: "shop",
    PGLADDER_POOL_WRITE_SIZE: "1",
    PGLADDER_POOL_READ_SIZE: "2",
    PGLADDER_POOL_MIN: "0",
    PGLADDER_POOL_OVERFLOW: "4",
    PGLADDER_POOL_CHECKOUT_TIMEOUT: "5",
    PGLADDER_POOL_CONNECT_TIMEOUT: "0.5",
    PGLADDER_POOL_RECYCLE: "7",
    PGLADDER_POOL_IDLE: "8",
    PGLADDER_POOL_LIFETIME: "9",
    PGLADDER_POOL_CHECK_AFTER: "0",
    PGLADDER_READ_MAX_LAG: "11",
    PGLADDER_READ_WAIT: "0.012",
  };
  const read = {
    writeUrl: WRITE,
    readUrl: READ,
    applicationName: "shop",
    writeSize: 1,
    readSize: 2,
    min: 0,
    overflow: 4,
    checkoutTimeout: 5_000,
    connectTimeout: 500,
    recycle: 7_000,
    idle: 8_000,
    lifetime: 9_000,
    checkAfter: 0,
    maxLag: 11_000,
    readWait: 12,
  };
  expect(readConfig({ env })).toEqual(read);
  expect(readConfig({ env, writeSize: 9, idle: ms(1), applicationName: "code" })).toEqual({
    ...read,
    writeSize: 9,
    idle: 1,
    applicationName: "code",
  });
});

test("without a read URL reads go to the write URL", () => {
  const config = readConfig({ writeUrl: WRITE, env: { PGLADDER_READ_URL: "" } });
  expect(config.readUrl).toBe(WRITE);
  expect(poolSettings(config, "read")).toMatchObject({ name: "read", url: WRITE, size: 50, pipelined: true });
  expect(poolSettings(config, "write")).toMatchObject({ name: "write", url: WRITE, size: 20, pipelined: false });
});

test("every problem is reported at once, and no password", () => {
  const problems = () =>
    readConfig({
      readUrl: "mysql://root:geheim@db/app",
      min: 30,
      overflow: -1,
      env: {
        PGLADDER_POOL_WRITE_SIZE: "many",
        PGLADDER_POOL_CONNECT_TIMEOUT: "0",
        PGLADDER_POOL_IDLE: "-1",
        PGLADDER_POOL_LIFETIME: "99999999",
      },
    });
  expect(problems).toThrow(InputError);
  expect(problems).toThrow(
    [
      "client: 7 problems",
      '  PGLADDER_POOL_WRITE_SIZE: got "many", want a whole number from 1 to 10000',
      "  overflow: got -1, want a whole number from 0 to 10000",
      '  PGLADDER_POOL_CONNECT_TIMEOUT: got "0", want more than 0 and at most 2147483 s (connectTimeout in code: ms)',
      '  PGLADDER_POOL_IDLE: got "-1", want at least 0 and at most 2147483 s (idle in code: ms)',
      '  PGLADDER_POOL_LIFETIME: got "99999999", want at least 0 and at most 2147483 s (lifetime in code: ms)',
      "  writeUrl: got nothing, want postgresql://user:password@host:port/database?sslmode=require",
      '  readUrl: got "a text that is not such a URL", want postgresql://user:password@host:port/database?sslmode=require',
    ].join("\n"),
  );
  expect(() => readConfig({ writeUrl: WRITE, min: 21, env: {} })).toThrow("min: got 21, want at most the smaller pool's size, 20");
});

test("a URL's sslmode means what libpq means", () => {
  expect(driverUrl(WRITE)).toBe(`${WRITE}&uselibpqcompat=true`);
  expect(driverUrl(`${WRITE}&uselibpqcompat=true`)).toBe(`${WRITE}&uselibpqcompat=true`);
  expect(driverUrl("postgresql://h/d")).toBe("postgresql://h/d");
});

test("the pool size formula: cores × 2 + spindles, cores × 4 on SSD", () => {
  expect([poolSize(8, 1), poolSize(8, 4), poolSize(8, 0), poolSize(8, "ssd"), poolSize(16, "nvme")]).toEqual([17, 20, 16, 32, 64]);
  expect(() => poolSize(0, 1.5)).toThrow(
    "poolSize: 2 problems\n  cores: got 0, want a whole number from 1\n  disk: got 1.5, want ssd, nvme, or a number of spindles",
  );
});

describe("names", () => {
  test("are quoted as they are", () => {
    expect(quote('a"b')).toBe('"a""b"');
    expect([quoteTable("Users"), quoteTable("public.users"), quoteTable(["public", "a.b"])]).toEqual([
      '"Users"',
      '"public"."users"',
      '"public"."a.b"',
    ]);
  });
  test("that cannot be any are refused", () => {
    expect(() => quote("")).toThrow('name: got "", want a name, without NUL');
    expect(() => quote("a\0")).toThrow("want a name, without NUL");
    expect(() => quoteTable("a.b.c")).toThrow('table: got "a.b.c", want "name", "schema.name" or [schema, name]');
  });
});

test("places in the log compare as numbers and are shown as PostgreSQL shows them", () => {
  expect(parseLsn("16/B374D848")).toBe(0x16b374d848n);
  expect(parseLsn("1/0") > parseLsn("0/FFFFFFFF")).toBe(true);
  for (const text of ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"]) expect(showLsn(parseLsn(text))).toBe(text);
  expect(() => parseLsn("16")).toThrow('token: got "16", want a session\'s token, such as 16/B374D848');
});
