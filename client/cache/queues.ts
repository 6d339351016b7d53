/** The cache's list of write-behind queues: how a crash is noticed by those that live. */
import { hostname } from "node:os";
import type { Link } from "./link.ts";

export interface QueueReport {
  /** Stays the same as long as the journal is kept. */
  owner: string;
  space: string;
  host: string;
  pid: number;
  /** Writes that were not in the database when the queue was last heard of. */
  pending: number;
  /** ms since 1970, by that process's clock. */
  seen: number;
  /**
   * Not heard of for ten seconds. Its writes are in its journal, if it has one, and reach the database at the next start with it; without a
   * journal they are lost.
   */
  abandoned: boolean;
}

export interface Announced {
  /** @param done whether nothing is left, so that the queue leaves the list */
  stop(done: boolean): Promise<void>;
}

const LOOK_MS = 100;
const REPEAT_MS = 1000;
const SILENT_MS = 10_000;
const KEPT_MS = 7 * 24 * 3600_000;

const listOf = (namespace: string): string => `${namespace}:@queues`;

/** Keeps the list up to date: at once, a tenth of a second after a change, and every second. */
export function announce(link: Link, namespace: string, owner: string, state: () => { space: string; pending: number }): Announced {
  let told = -1;
  let at = 0;
  const tell = async () => {
    const now = Date.now();
    const { space, pending } = state();
    if (pending === told && now - at < REPEAT_MS) return;
    told = pending;
    at = now;
    await link.command("hset", listOf(namespace), owner, JSON.stringify({ space, host: hostname(), pid: process.pid, pending, seen: now }));
  };
  void tell();
  const timer = setInterval(() => void tell(), LOOK_MS).unref();
  return {
    stop: async (done) => {
      clearInterval(timer);
      if (done) await link.command("hdel", listOf(namespace), owner);
      else await tell();
    },
  };
}

/** All queues of a name space. Those that were not heard of for a week are forgotten. */
export async function listQueues(link: Link, namespace: string): Promise<QueueReport[]> {
  const all = (await link.command("hgetall", listOf(namespace))) as Record<string, string> | undefined;
  const reports: QueueReport[] = [];
  for (const [owner, text] of Object.entries(all ?? {})) {
    const report = JSON.parse(text) as Omit<QueueReport, "owner" | "abandoned">;
    const age = Date.now() - report.seen;
    if (age > KEPT_MS) await link.command("hdel", listOf(namespace), owner);
    else reports.push({ owner, ...report, abandoned: age > SILENT_MS });
  }
  return reports;
}
