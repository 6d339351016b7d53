import { parseConfig, type StackConfig } from "../../plan/config.ts";

export type Given = Record<string, unknown>;

/** Parses maps as a user writes them: Pulumi hands top-level scalars over as text, maps and lists as JSON text. */
export function parse(given: Given, stack = "dev"): StackConfig {
  const raw = Object.entries(given).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]);
  return parseConfig(Object.fromEntries(raw), { stack });
}
