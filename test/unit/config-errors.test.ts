/** Wrong configurations: the exact messages, all at once. The cases are in config-errors.yaml and config-combinations.yaml. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse as parseYaml } from "yaml";
import { KEYS } from "../../plan/config/schema.ts";
import { parseConfig } from "../../plan/config.ts";
import { InputError } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";

interface Case {
  what: string;
  config: Given;
  errors: string;
}

const CASES = ["config-errors.yaml", "config-combinations.yaml"].flatMap((file): Case[] =>
  parseYaml(readFileSync(new URL(file, import.meta.url), "utf8")),
);

function errors(given: Given, stack?: string): string[] {
  try {
    parse(given, stack);
  } catch (error) {
    if (error instanceof InputError) return error.message.split("\n").map((line) => line.trim());
    throw error;
  }
  return [];
}

describe("invalid configuration", () => {
  it.each(CASES)("$what", ({ config, errors: expected }) => {
    const [first, ...rest] = errors(config);
    const messages = expected.trimEnd().split("\n");
    expect(rest).toEqual(messages);
    expect(first).toBe(`Pulumi.dev.yaml: ${messages.length} problem${messages.length > 1 ? "s" : ""}`);
  });

  it.each(["Dev", "1dev", "my_stack", "", "a".repeat(32)])("stack name %j", (stack) => {
    expect(errors({}, stack)).toEqual([
      `Pulumi.${stack}.yaml: 1 problem`,
      `stack: got ${JSON.stringify(stack)}, want a name of at most 31 of a-z, 0-9 and -, a letter first`,
    ]);
  });

  it("reports everything at once, and no rule on a key that is itself wrong", () => {
    const given = {
      stage: 9,
      port: 1,
      replicas: { count: 99 },
      synchronous: true,
      cache: {},
      tables: { t: { partition: {} } },
      aws: {},
      engine: "rds",
    };
    expect(errors(given)).toEqual([
      "Pulumi.dev.yaml: 4 problems",
      'pgladder:stage: got "9", want one of 1, 2, 3, 4, 5',
      "pgladder:tables.t.partition.by: got nothing, want a column name (letters, 0-9 and _)",
      'pgladder:port: got "1", want a port from 1024 to 65535',
      "pgladder:replicas.count: got 99, want a whole number from 0 to 15",
    ]);
  });

  it("only ever throws InputError, whatever the values", () => {
    const value = fc.oneof(
      fc.string(),
      fc.jsonValue().map((json) => JSON.stringify(json)),
      fc.constantFrom("1", "5", "aws", "{}", "[]", "null"),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.oneof(fc.constantFrom(...KEYS), fc.string()), value), fc.string(), (given, stack) => {
        try {
          parseConfig(given, { stack });
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
