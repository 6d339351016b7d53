/** SQL and COPY text, exactly. That PostgreSQL takes it, and takes it right: test/postgres/client-bulk and client-page. */
import { describe, expect, test } from "vitest";
import { type Key, keyset, orderText } from "../../client/page.ts";
import { copyLine, toText } from "../../client/text.ts";

const key = (name: string, more: Partial<Key> = {}): Key => ({
  name,
  type: "int4",
  notNull: true,
  descending: false,
  nullsFirst: false,
  ...more,
});

describe("keyset", () => {
  test("one direction and no nulls: rows are compared as a whole", () => {
    const keys = [key("a", { type: "timestamp with time zone" }), key("b")];
    expect(keyset(keys, ["2026-01-01", "7"], 3)).toEqual({
      sql: '("a", "b") > ($3::timestamp with time zone, $4::int4)',
      values: ["2026-01-01", "7"],
    });
    expect(
      keyset(
        keys.map((one) => ({ ...one, descending: true })),
        ["x", "7"],
        1,
      ).sql,
    ).toBe('("a", "b") < ($1::timestamp with time zone, $2::int4)');
  });

  test("mixed directions: column by column, with a bound for the index", () => {
    const keys = [key("a"), key("b", { descending: true }), key("c")];
    expect(keyset(keys, ["1", "2", "3"], 1).sql).toBe(
      '"a" >= $1::int4 and ("a" > $1::int4 or "a" = $1::int4 and "b" < $2::int4 or "a" = $1::int4 and "b" = $2::int4 and "c" > $3::int4)',
    );
  });

  test("nulls come before or after, and are no parameters", () => {
    const last = [key("a", { notNull: false }), key("b")];
    expect(keyset(last, ["1", "2"], 1)).toEqual({
      sql: '(("a" > $1::int4 or "a" is null) or "a" = $1::int4 and "b" > $2::int4)',
      values: ["1", "2"],
    });
    expect(keyset(last, [null, "2"], 1)).toEqual({ sql: '("a" is null and "b" > $1::int4)', values: ["2"] });
    const first = [key("a", { notNull: false, nullsFirst: true }), key("b")];
    expect(keyset(first, ["1", "2"], 1).sql).toBe('("a" > $1::int4 or "a" = $1::int4 and "b" > $2::int4)');
    expect(keyset(first, [null, "2"], 1).sql).toBe('("a" is not null or "a" is null and "b" > $1::int4)');
  });

  test("the order says of nulls only where they can be", () => {
    expect(orderText([key("a", { notNull: false }), key("b", { notNull: false, descending: true, nullsFirst: true }), key("c")])).toBe(
      '"a" asc nulls last, "b" desc nulls first, "c" asc',
    );
  });
});

test("COPY's lines: null, tab, newline, carriage return and backslash", () => {
  expect(copyLine(["a", null, "\\N", "t\tn\nr\r", ""])).toBe("a\t\\N\t\\\\N\tt\\tn\\nr\\r\t\n");
});

test.each([
  ["null", null, "int4", false, null],
  ["NaN", Number.NaN, "float8", false, "NaN"],
  ["negative zero", -0, "float8", false, "-0"],
  ["bigint", 2n ** 62n, "int8", false, "4611686018427387904"],
  ["a string for jsonb is a JSON string", "a", "jsonb", false, '"a"'],
  ["an array for jsonb", [1, [2]], "jsonb", false, "[1,[2]]"],
  ["an array for an array", [1, null, 'q"\\'], "text", true, '{"1",NULL,"q\\"\\\\"}'],
  ["nested arrays", [["a"], ["NULL"]], "text", true, '{{"a"},{"NULL"}}'],
  ["arrays in jsonb[] are elements", [[1], { a: "x" }], "jsonb", true, '{"[1]","{\\"a\\":\\"x\\"}"}'],
  ["an array for a vector", [1, 2.5], "vector", false, "[1,2.5]"],
  ["bytes", new Uint8Array([0, 255]), "bytea", false, "\\x00ff"],
  ["a date", new Date("2026-02-03T04:05:06.007Z"), "timestamptz", false, "2026-02-03 04:05:06.007+00"],
  ["a date before Christ", new Date(Date.UTC(-43, 2, 15)), "timestamptz", false, "0044-03-15 00:00:00.000+00 BC"],
  ["the driver's own types", { toPostgres: () => "1 day" }, "interval", false, "1 day"],
])("text of %s", (_, value, base, array, text) => {
  expect(toText(value, { base, array })).toBe(text);
});
