/**
 * The rehearsal against a real PostgreSQL: clean runs, and faults that an application sees. TLS by a private CA, as a stack has it. It cannot
 * prove a climb (test/mirror does) nor what the pooler adds.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { DEFAULT_TABLE, tableRows } from "../../rehearsal/table.ts";
import { verdict } from "../../rehearsal/verdict.ts";
import { startLoad } from "../../rehearsal/workload.ts";
import { acknowledged, bench, counts, unsuccessful } from "./rehearsal-server.ts";

const here = bench();

test("a clean run passes: every write acknowledged, reads answered, writes through the read URL refused", async () => {
  const result = await here.rehearse((load) => acknowledged(load, 300));
  expect(result.reasons).toEqual([]);
  expect(result.passed).toBe(true);
  const { writes, reads, compared } = result;
  expect(writes.outcomes.acknowledged).toBe(writes.attempted);
  expect(writes).toMatchObject({ reconnects: 0, overdue: 0, unknownFound: 0, unknownMissing: 0, errors: [] });
  expect(reads).toMatchObject({ errors: 0, stale: 0, writesAccepted: 0 });
  expect(reads.answered).toBeGreaterThan(100);
  expect(reads.writesRefused).toBeGreaterThan(0);
  const [{ n } = {}] = await here.sql(`select count(*) as n from ${DEFAULT_TABLE}`);
  expect(compared.rows).toBe(Number(n));
});

test("a second run does not mix with the first one's rows", async () => {
  await here.rehearse((load) => acknowledged(load, 20));
  await expect(startLoad({ writeUrl: here.url("app"), ledger: here.ledger("other.db") })).rejects.toThrow(
    `table: got "${DEFAULT_TABLE}", want an empty table: drop the earlier run's, or name another`,
  );
});

test("a read URL that takes writes is named", async () => {
  const result = await here.rehearse((load) => acknowledged(load, 100), { readUrl: here.url("app") });
  expect(result.reads.writesAccepted).toBeGreaterThan(0);
  expect(result.reasons).toEqual([`writes accepted through the read URL: got ${result.reads.writesAccepted}, want 0`]);
  expect(counts(result)).toEqual({});
});

test("backends killed in the middle of transactions: failures and reconnects are counted, nothing is damaged", async () => {
  const kill = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app' and state <> 'idle'";
  const result = await here.rehearse(
    async (load) => {
      await here.sql(`create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(0.02); return new; end'`);
      await here.sql(`create trigger slow before insert or update on ${DEFAULT_TABLE} for each row execute function slow()`);
      for (let i = 0; i < 10; i++) {
        await acknowledged(load, (i + 1) * 20);
        await here.sql(kill);
      }
    },
    {},
    { failedWrites: 1000, readErrors: 1000 },
  );
  await here.sql("drop function slow cascade");
  expect(unsuccessful(result)).toBeGreaterThan(0);
  expect(result.writes.reconnects).toBeGreaterThan(0);
  expect(result.writes.errors.map(({ error }) => error)).toContain("57P01 terminating connection due to administrator command");
  expect(counts(result)).toEqual({});
  expect(result.passed).toBe(true);
});

test.each(["fast", "immediate"])(
  "the server restarted (%s) during the load: nothing is damaged, and it does not pass unnoticed",
  async (mode) => {
    const result = await here.rehearse(async (load) => {
      await acknowledged(load, 100);
      load.mark("restart");
      await here.restart(mode);
      await acknowledged(load, load.figures().writes.acknowledged + 100);
    });
    expect(unsuccessful(result)).toBeGreaterThan(0);
    expect(result.writes.reconnects).toBeGreaterThanOrEqual(10);
    expect(counts(result)).toEqual({});
    expect(result.passed).toBe(false);
    expect(result.reasons[0]).toMatch(/^writes failed \(/);
    expect(result.timeline.flatMap(({ marks }) => marks)).toEqual(["restart"]);
  },
);

test("a frozen server: the stall is as long as the freeze, whatever the rate", async () => {
  const result = await here.rehearse(async (load) => {
    await acknowledged(load, 100);
    await here.freeze();
    await sleep(2000);
    await here.thaw();
    await acknowledged(load, 400);
  });
  expect(result.passed).toBe(true);
  expect(result.writes.stall.ms).toBeGreaterThan(1900);
  expect(result.writes.latency.longest).toBeGreaterThan(1900);
  expect(result.reads.stall.ms).toBeGreaterThan(1900);
});

test("stopped while the server is frozen: what runs is cut and unknown, what was due is named", async () => {
  const load = await startLoad({ writeUrl: here.url("app"), ledger: here.ledger(), clients: 10, rate: 200, drain: 500 });
  await acknowledged(load, 100);
  await here.freeze();
  await sleep(1000);
  await load.stop();
  await here.thaw();
  const result = await verdict(load.ledger, tableRows(here.url("app"), DEFAULT_TABLE));
  load.ledger.close();
  expect(unsuccessful(result)).toBe(10);
  expect(result.writes.overdue).toBeGreaterThan(100);
  expect(counts(result)).toEqual({});
  expect(result.reasons).toContain(`writes due and never started: got ${result.writes.overdue}, want 0`);
});

test("a ledger that can record no more ends the load with its error", async () => {
  const load = await startLoad({ writeUrl: here.url("app"), readUrl: here.url("app_ro"), ledger: here.ledger(), clients: 10, rate: 200 });
  await acknowledged(load, 20);
  load.ledger.db.exec("pragma max_page_count = 1");
  await expect(load.ended).rejects.toThrow("database or disk is full");
  expect(() => load.ledger.close()).toThrow("database or disk is full");
});
