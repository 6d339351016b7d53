/** A climb with everything that must survive it: filled tables, a load with its ledger, a visitor, pgbench; and what became of them. */
import { join } from "node:path";
import { EXAMPLE_TABLES } from "../../plan/config/tables.ts";
import { renderVerdict } from "../render.ts";
import { wholeVerdict } from "../shards.ts";
import { tableSql } from "../table.ts";
import { startLoad } from "../workload.ts";
import { checkVisitor, compareApplication, fillApplication, readApplication, Visitor } from "./application.ts";
import { PGBENCH_SQL, PGBENCH_TABLES, Pgbench, type Run } from "./pgbench.ts";
import type { ClimbReport, StepReport } from "./report.ts";
import { measureSpeeds, type Speeds } from "./speed.ts";
import { type Climber, Stack, type Values } from "./stack.ts";
import { type Step, stepName, stepValues } from "./steps.ts";

export interface ClimbOptions {
  name: string;
  folder: string;
  steps: readonly Step[];
  values: Values;
  messages: number;
  clients: number;
  rate: number;
  routed: number;
  /** Of the measurement of speed at each stage; 0: none. */
  speedSeconds: number;
  /** pgbench's scale and its image; undefined: none. */
  pgbench: { scale: number; image: string } | undefined;
  /** Longest write stall that passes, ms. */
  maxStall: number | undefined;
  say: (line: string) => void;
}

/** Of a run of pgbench before and after a climb. */
const PGBENCH_SECONDS = 10;

const loadTable = (step: number): string => `rehearsal_${step}`;

/** Tables of the load, one for each step. */
export const loadTables = (steps: readonly Step[]): string[] => steps.slice(1).map((_, i) => loadTable(i + 1));

/** A stack of the rehearsal's own, with a table for each step's load, declared as an application would. */
export function openStack({ name, folder, steps, pgbench, say }: ClimbOptions): Stack {
  const loads = loadTables(steps);
  const tables = {
    ...EXAMPLE_TABLES,
    ...Object.fromEntries(loads.map((table) => [table, { shardBy: "user_id" }])),
    ...(pgbench ? PGBENCH_TABLES : {}),
  };
  const migrations = { "9001_rehearsal.sql": loads.map(tableSql).join(""), ...(pgbench ? { "9002_pgbench.sql": PGBENCH_SQL } : {}) };
  return new Stack({ name, folder, migrations, say, values: { tables: JSON.stringify(tables) } });
}

/** Climbs all steps. The stack stays as the last one leaves it. @throws Error where a step cannot be done */
export async function climb(stack: Climber, options: ClimbOptions): Promise<ClimbReport> {
  const { steps, messages, say, pgbench: wanted, folder } = options;
  await stack.up(stepValues(steps[0]!, options.values));
  // Tables that were partitioned keep their old ones until then, and do not move onto shards.
  await stack.finish();
  const urls = { writeUrl: await stack.url("write"), readUrl: await stack.url("read") };
  say(`filling: ${messages} messages`);
  await fillApplication(urls.writeUrl, messages, say);
  const pgbench = wanted && new Pgbench({ ...wanted, url: urls.writeUrl, folder });
  await pgbench?.fill();
  const report: ClimbReport = {
    messages,
    pgbench: pgbench ? [...(await pgbench.quiet(PGBENCH_SECONDS)), await pgbench.tpcB(PGBENCH_SECONDS)] : [],
    speeds: await speeds(stack, urls, options),
    steps: [],
  };
  const done: StepReport[] = [];
  for (const [i, step] of steps.entries()) {
    if (i === 0) continue;
    const title = `${stepName(steps[i - 1]!)} → ${stepName(step)}`;
    done.push(await climbStep(stack, urls, { ...options, title, table: loadTable(i), step, pgbench }));
  }
  return { ...report, steps: done };
}

interface StepOptions extends Omit<ClimbOptions, "pgbench"> {
  title: string;
  table: string;
  step: Step;
  pgbench: Pgbench | undefined;
}

type Urls = Readonly<Record<"writeUrl" | "readUrl", string>>;

type Measured = Pick<ClimbOptions, "speedSeconds" | "clients">;

const speeds = async (stack: Climber, urls: Urls, { speedSeconds, clients }: Measured): Promise<Speeds | undefined> =>
  speedSeconds > 0 ? measureSpeeds({ ...urls, containers: await stack.containers(), clients, seconds: speedSeconds }) : undefined;

async function climbStep(stack: Climber, urls: Urls, options: StepOptions): Promise<StepReport> {
  const { title, table, step, folder, clients, rate, routed, say, pgbench, maxStall } = options;
  say(`${title}: begins`);
  const before = await readApplication(urls.writeUrl);
  const load = await startLoad({ ...urls, ledger: join(folder, `${table}.sqlite`), clients, rate, routed, table });
  const visitor = new Visitor(urls);
  let over = false;
  const benching = pgbench?.during(() => over);
  const start = performance.now();
  load.mark(title);
  try {
    await stack.up(stepValues(step, options.values));
  } finally {
    over = true;
    load.mark("settled");
    await Promise.all([load.stop(), visitor.stop(), benching]);
  }
  const seconds = (performance.now() - start) / 1000;
  const [{ ids, failed, ...visited }, during] = [await visitor.stop(), await benching];
  say(`${title}: settled, comparing`);
  const verdict = await wholeVerdict(load.ledger, urls.writeUrl, maxStall === undefined ? {} : { stall: maxStall });
  load.ledger.close();
  say(renderVerdict(verdict));
  const after = await pgbench?.quiet(PGBENCH_SECONDS);
  const strict = [...(during ?? []), ...(after ?? [])];
  const tpcB = await pgbench?.tpcB(PGBENCH_SECONDS);
  const wrong = [
    ...(await compareApplication(urls.writeUrl, before)),
    ...(await checkVisitor(urls.writeUrl, ids)),
    ...[...new Set(failed)].map((error) => `a visitor of the application saw: ${error}`),
    ...strict.flatMap(({ what, failed, error }: Run) =>
      failed > 0 || error ? [`pgbench, ${what}: got ${error ?? `${failed} failed`}, want none`] : [],
    ),
  ];
  return {
    step: title,
    seconds,
    verdict,
    visitor: { ...visited, failed: failed.length },
    wrong,
    speeds: await speeds(stack, urls, options),
    pgbench: during && after && tpcB ? { during, after: [...after, tpcB] } : undefined,
  };
}
