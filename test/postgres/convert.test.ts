/**
 * Filled tables become partitioned, and whole again, while 20 clients write: no statement fails, no row is lost or doubled. A converter that is
 * killed at any of its statements is gone on with by the next one. Cannot prove: scale, and what replicas notice.
 */
import type { Client } from "pg";
import { expect, test } from "vitest";
import { maintain } from "../../agent/maintenance/settle.ts";
import { bench } from "../support/migrations.ts";
import { Driver, stateOf } from "./convert-driver.ts";
import { LOADED, Load } from "./convert-load.ts";

const here = bench();
const BY_MONTH = { notes: { partition: { by: "at" } }, events: { partition: { by: "at" } } };
const WHOLE = { notes: { plain: true }, events: { plain: true } };

const kinds = async (admin: Client): Promise<string[]> =>
  (
    await admin.query<{ kind: string }>(
      "select relname || ' ' || relkind::text as kind from pg_class where relname in ('notes', 'events') and relnamespace = 'public'::regnamespace order by 1",
    )
  ).rows.map(({ kind }) => kind);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("partitioned, back, partitioned again, finished, whole again, all under 20 clients", async () => {
  const admin = await here.db.connect();
  const load = new Load(here.db);
  await load.start(20, 3_000);
  const driver = new Driver(here.db, BY_MONTH);
  const same = async () => (await Promise.all(LOADED.map((_, at) => load.differences(admin, at)))).flat();

  await driver.settle();
  expect(await kinds(admin)).toEqual(["events p", "notes p"]);
  await pause(300);
  for (const table of ["notes", "events"]) await admin.query("select ladder.undo_conversion($1::regclass)", [table]);
  expect(await kinds(admin)).toEqual(["events r", "notes r"]);
  await driver.settle();
  expect((await stateOf(admin, "notes")).state).toBe("undone");

  for (const table of ["notes", "events"]) await admin.query("select ladder.resume_conversion($1::regclass)", [table]);
  await driver.settle();
  expect(await kinds(admin)).toEqual(["events p", "notes p"]);
  // As `ladder finish` does it.
  const ended = ["events", "notes"].map((table) => `public.${table}: the old table is dropped`);
  expect([await maintain(admin, "finish", ""), await maintain(admin, "finish", "")]).toEqual([ended, []]);

  driver.tables = WHOLE;
  await driver.settle();
  expect(await kinds(admin)).toEqual(["events r", "notes r"]);
  await pause(300);
  await load.stop();
  expect(load.failed).toEqual([]);
  expect(await same()).toEqual([]);
  expect(load.statements).toBeGreaterThan(500);
  // The old, partitioned tables have everything too.
  const { rows } = await admin.query<{ old: string }>(
    "select source::regclass::text as old from ladder.conversion where state = 'kept' order by table_name desc",
  );
  for (const [at, { old }] of rows.entries()) expect(await load.differences(admin, at, old)).toEqual([]);
  expect(rows).toHaveLength(2);
  console.log(
    `conversion: ${load.statements} statements, longest ${Math.round(load.longest)} ms; ${driver.log.filter((line) => line.includes("swapped")).join("; ")}`,
  );
});

/** The session's settings and its lock: nothing has been looked at before. */
const PREPARED = 5;

test("killed at each of its statements, the next one goes on with it", async () => {
  const admin = await here.db.connect();
  const load = new Load(here.db);
  await load.start(3, 200);
  const driver = new Driver(here.db, { events: { partition: { by: "at", every: "year", ahead: 1 } } });
  const died: string[] = [];
  let kills = 0;
  for (let at = PREPARED; ; at++) {
    const connect = async () => {
      const client = await here.db.connect();
      const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
      let made = 0;
      let inside = 0;
      Object.assign(client, {
        query: async (...args: unknown[]) => {
          inside = args[0] === "begin" ? 1 : args[0] === "commit" ? 0 : inside && inside + 1;
          // Of the statements of a transaction, one in the middle and its end are enough: they are undone together.
          if (inside <= 2) made += 1;
          if (made === at && inside <= 2) {
            died.push((await stateOf(admin, "events")).state);
            await admin.query("select pg_terminate_backend($1, 2000)", [rows[0]!.pid]);
          }
          return query(...args);
        },
      });
      return client;
    };
    try {
      const before = died.length;
      const shown = await driver.advance({ connect, slice: 0 as never });
      if (died.length > before) continue;
      if (shown === undefined) break;
      at = PREPARED - 1;
    } catch (error) {
      kills += 1;
      expect(String(error)).toMatch(/terminat|not queryable|ECONNRESET/i);
    }
  }
  await load.stop();
  expect(load.failed).toEqual([]);
  expect(await load.differences(admin, 1)).toEqual([]);
  expect((await stateOf(admin, "events")).state).toBe("kept");
  expect([...new Set(died)]).toEqual(["none", "checking", "measuring", "building", "syncing", "copying", "verifying", "swapping", "kept"]);
  const { rows } = await admin.query("select count(*)::int as runs from ladder.conversion");
  expect(rows).toEqual([{ runs: 1 }]);
  console.log(`conversion: killed ${kills} times`);
});
