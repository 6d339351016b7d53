/** The scenarios, and a run of them: each in a schema of its own, which is dropped before the next. */
import { compare, type Ratio } from "./measure.ts";
import { attach, pruning, retention } from "./partitions.ts";
import { caching, nearest, paging, topN, views } from "./queries.ts";
import type { Found } from "./report.ts";
import { counted, type Place, type Scenario } from "./scenario.ts";
import { brin, loading, smallint } from "./storage.ts";

export const SCENARIOS: readonly Scenario[] = [pruning, retention, attach, brin, smallint, loading, caching, topN, paging, views, nearest];

/** Runs scenarios one after the other. @param rounds of each comparison */
export async function runScenarios(
  scenarios: readonly Scenario[],
  place: Place,
  rounds: number,
  progress: (line: string) => void,
): Promise<Found[]> {
  const found: Found[] = [];
  const { client } = place;
  for (const scenario of scenarios) {
    const start = performance.now();
    await client.query("create schema bench");
    await client.query("set search_path = bench, public");
    const { comparisons, facts = [], end } = await scenario.prepare(place);
    const ratios: Ratio[] = [];
    for (const comparison of comparisons) ratios.push(...(await compare(comparison, rounds)));
    await end?.();
    await dropAll(place);
    found.push({ scenario: scenario.name, ratios, facts });
    progress(`${scenario.name}: ${counted(Math.round((performance.now() - start) / 1000))} s`);
  }
  return found;
}

/** A schema of 1,200 tables takes more locks than one transaction may hold: table by table, then the rest. */
async function dropAll({ client }: Place): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    "select c.oid::regclass::text as name from pg_class c where relnamespace = 'bench'::regnamespace and relispartition and relkind = 'r'",
  );
  for (const { name } of rows) await client.query(`drop table ${name}`);
  await client.query("drop schema bench cascade; reset search_path");
}
