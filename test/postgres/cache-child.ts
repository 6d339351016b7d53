/** A process that uses the cache, for tests that kill it or want a second one. Told by arguments what to do; says on standard output how far it is. */
import { createInterface } from "node:readline";
import { Pool } from "pg";
import { openCache } from "../../client/cache/index.ts";

const [what, url = "", database, port, journal] = process.argv.slice(2);
const pool = new Pool({ host: "127.0.0.1", port: Number(port), user: "ladder_admin", database, max: 10, application_name: "cache-child" });
const cache = await openCache({ url, namespace: "t", timeout: 2000, beat: 50 });
const space = cache.space<number>("profile");
const say = (text: string) => process.stdout.write(`${text}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hear = async () => String((await lines.next()).value);
const never = () => new Promise<never>(() => undefined);

const load = async (key: string): Promise<number> => (await pool.query("select value from item where id = $1", [key])).rows[0]?.value;
const slowLoad = async (key: string): Promise<number> => {
  await pool.query("insert into load (id) values ($1)", [key]);
  await pool.query("select pg_sleep(0.1)");
  return load(key);
};
const change = async (key: string): Promise<number> =>
  (await pool.query("update item set value = value + 1 where id = $1 returning value", [key])).rows[0].value;

const jobs: Record<string, () => Promise<void>> = {
  /** Fifty readers of one key. */
  stampede: async () => {
    say("ready");
    const key = await hear();
    const values = await Promise.all(Array.from({ length: 50 }, () => space.getOrLoad(key, () => slowLoad(key))));
    say(JSON.stringify([...new Set(values)]));
  },
  /** One read for each line: value, and how many came from this process's memory. */
  read: async () => {
    say("ready");
    for (;;) {
      const key = await hear();
      say(JSON.stringify([await space.getOrLoad(key, () => load(key)), cache.figures().localHits]));
    }
  },
  /** Begins a change of a key, commits it when told, and never comes back. */
  hangAfterCommit: async () => {
    await space.write("k1", async () => {
      say("begun");
      await hear();
      await change("k1");
      say("committed");
      return never();
    });
  },
  /** Changes keys for ever, several at a time. */
  writeThrough: async () => {
    for (let n = 0; ; n++) {
      const keys = Array.from({ length: 5 }, (_, i) => `k${(n * 3 + i * 7) % 40}`);
      await Promise.all(keys.map((key) => space.write(key, () => change(key))));
      if (n % 10 === 0) say(`round ${n}`);
    }
  },
  /** Queues a hundred values; the first flush is committed and never ends. */
  hangInFlush: async () => {
    const queue = await space.writeBehind({
      ...(journal ? { journal } : {}),
      every: 30,
      flush: async (writes) => {
        for (const { key, value } of writes) await pool.query("update item set value = $2 where id = $1", [key, value]);
        say("flushed");
        await never();
      },
    });
    for (let n = 0; n < 100; n++) await queue.write(`k${n % 40}`, 1000 + n);
    say("queued");
    await never();
  },
};

await jobs[what as string]?.();
await cache.close();
await pool.end();
process.exit();
