/** docs/config.md names every key of the schema. Cannot prove that what it says of them is true. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { KEYS, SCHEMA } from "../../plan/config/schema.ts";

describe("docs/config.md", () => {
  const page = readFileSync(new URL("../../docs/config.md", import.meta.url), "utf8");

  /** `replicas.count` and so on; thresholds are documented as one. */
  function paths(schema: z.ZodType, prefix: string): string[] {
    if (schema instanceof z.ZodExactOptional) return paths(schema.unwrap() as z.ZodType, prefix);
    if (!(schema instanceof z.ZodObject) || "warning" in schema.shape) return [prefix];
    return Object.entries(schema.shape).flatMap(([key, inner]) => paths(inner as z.ZodType, `${prefix}.${key}`));
  }

  it.each(KEYS.flatMap((key) => paths(SCHEMA[key], key)))("has a row for %s", (path) => {
    expect(page).toMatch(new RegExp(`^\\| (.*, )?\`${path.replaceAll(".", "\\.")}\``, "m"));
  });
});
