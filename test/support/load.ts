/** A change under 20 clients that write at a steady rate, and what their record says afterwards. */
import { join } from "node:path";
import { renderVerdict } from "../../rehearsal/render.ts";
import { wholeVerdict } from "../../rehearsal/shards.ts";
import type { Verdict } from "../../rehearsal/verdict.ts";
import { startLoad } from "../../rehearsal/workload.ts";

export interface LoadPlace {
  writeUrl: string;
  readUrl: string;
  /** Where the ledger is made. */
  folder: string;
  table: string;
  /** Share of clients and readers that go through the shard router. @default 0 */
  routed?: number;
}

/** Runs `work` under load, prints the verdict, and returns it. */
export async function underLoad(
  { writeUrl, readUrl, folder, table, routed = 0 }: LoadPlace,
  work: (mark: (text: string) => void) => Promise<void>,
): Promise<Verdict> {
  const load = await startLoad({ writeUrl, readUrl, ledger: join(folder, `${table}.sqlite`), clients: 20, rate: 50, routed, table });
  try {
    await work((text) => load.mark(text));
  } finally {
    await load.stop();
  }
  try {
    const result = await wholeVerdict(load.ledger, writeUrl);
    console.log(renderVerdict(result));
    return result;
  } finally {
    load.ledger.close();
  }
}
