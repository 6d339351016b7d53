/** Properties of the budget over all machines from 1 core and 1 GB to 128 cores and 1 TB. Cannot prove what a process really takes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { renderPostgresql } from "../../plan/render/postgresql.ts";
import { renderRds } from "../../plan/render/rds.ts";
import { lookUp, maxServerConnections, STANDBY_NOT_BELOW, tune } from "../../plan/tuning/index.ts";
import { parseValue } from "../../plan/tuning/parameters.ts";
import type { Settings, TuningInput } from "../../plan/tuning/types.ts";
import { DISKS, gib, InputError, kib, mib, WORKLOADS } from "../../plan/types.ts";
import { inputFor } from "../support/tuning.ts";

const machines = fc.record({
  cores: fc.integer({ min: 1, max: 128 }),
  memory: fc.integer({ min: gib(1), max: gib(1024) }).map(kib),
  storage: fc.integer({ min: 1, max: 65_536 }),
  disk: fc.constantFrom(...DISKS),
});

/** Any node; small connection counts as often as big ones. */
const inputs: fc.Arbitrary<TuningInput> = fc
  .record({
    machine: machines,
    workload: fc.constantFrom(...WORKLOADS),
    serverConnections: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 10_000 })),
    replicas: fc.integer({ min: 0, max: 15 }),
    citus: fc.boolean(),
    platform: fc.constantFrom("patroni", "rds"),
  })
  .map(inputFor);

const figure = (settings: Settings, name: string): number => {
  const value = lookUp(settings, name)?.value;
  if (value?.kind === "memory") return value.kib;
  return value?.kind === "number" ? value.value : Number.NaN;
};

/** The refusal, or the settings. */
function attempt(input: TuningInput): Settings | InputError {
  try {
    return tune(input);
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
}

const fits = (outcome: Settings | InputError): outcome is Settings => !(outcome instanceof InputError);
const UNITS = { web: 2, oltp: 2, mixed: 3, analytics: 4 } as const;

/** The promise, added up from the settings alone, independently of budget.ts. */
function demand(input: TuningInput, settings: Settings): number {
  const of = (name: string) => figure(settings, name);
  return (
    of("shared_buffers") +
    of("wal_buffers") +
    of("maintenance_work_mem") +
    of("autovacuum_max_workers") * of("autovacuum_work_mem") +
    (input.serverConnections + 20) * mib(6) +
    (input.serverConnections + of("max_parallel_workers")) * UNITS[input.workload] * of("work_mem")
  );
}

describe("the budget", () => {
  test("fits nine tenths of the memory, or is refused with the arithmetic", () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const outcome = attempt(input);
        if (!fits(outcome)) {
          expect(outcome.problems).toHaveLength(1);
          expect(outcome.message).toMatch(/serverConnections: got \d+, want .*\(.* shared_buffers − .* work_mem = .* is needed\)$/);
          return;
        }
        expect(demand(input, outcome)).toBeLessThanOrEqual(input.machine.memory * 0.9 + 1);
        expect(figure(outcome, "work_mem")).toBeGreaterThanOrEqual(mib(4));
        expect(figure(outcome, "work_mem")).toBeLessThanOrEqual(mib(64));
      }),
      { numRuns: 1_000 },
    );
  });

  test("refuses exactly what is above maxServerConnections", () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const most = maxServerConnections(input);
        if (most > 0) expect(fits(attempt({ ...input, serverConnections: most }))).toBe(true);
        expect(fits(attempt({ ...input, serverConnections: most + 1 }))).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  test("names a memory that is really enough, and one GB less is not", () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const outcome = attempt(input);
        if (fits(outcome)) return;
        const least = Number(/at least (\d+)GB of memory/.exec(outcome.message)?.[1]);
        const withMemory = (size: number) => attempt({ ...input, machine: { ...input.machine, memory: gib(size) } });
        expect(fits(withMemory(least))).toBe(true);
        expect(least === 1 || !fits(withMemory(least - 1))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("9,999 connections on 4 GB, in words", () => {
    expect(() => tune(inputFor({ serverConnections: 9_999 }))).toThrow(
      new InputError("tuning", [
        {
          path: "serverConnections",
          got: 9_999,
          want: "at most 143 server connections, or at least 214GB of memory (4GB memory − 1GB shared_buffers − 64MB wal_buffers − 410MB for the system − 256MB maintenance_work_mem − 3 autovacuum workers × 64MB − 10,019 connections × 6MB = 60114MB: 57964MB too little, and 2 × 10,001 backends × 4MB work_mem = 80008MB is needed)",
        },
      ]),
    );
  });

  test("a machine too small for any connection says only what memory it needs", () => {
    const tiny = { cores: 1, memory: mib(400), storage: 10, disk: "ssd" } as const;
    expect(() => tune(inputFor({ machine: tiny, serverConnections: 5 }))).toThrow(
      "serverConnections: got 5, want at least 1GB of memory (400MB memory − 100MB shared_buffers",
    );
  });
});

test("more memory never gives less", () => {
  const names = ["shared_buffers", "effective_cache_size", "maintenance_work_mem", "autovacuum_work_mem", "wal_buffers", "work_mem"];
  fc.assert(
    fc.property(inputs, fc.oneof(fc.integer({ min: 1, max: 4_096 }), fc.integer({ min: 1, max: gib(256) })), (input, more) => {
      const smaller = attempt(input);
      const larger = attempt({ ...input, machine: { ...input.machine, memory: kib(input.machine.memory + more) } });
      if (!fits(smaller)) return;
      if (!fits(larger)) throw new Error(`refused with ${more} KiB more: ${larger.message}`);
      for (const name of names) expect(figure(larger, name), name).toBeGreaterThanOrEqual(figure(smaller, name));
    }),
    { numRuns: 1_000 },
  );
});

test("a standby is never below its primary on what PostgreSQL checks", () => {
  fc.assert(
    fc.property(inputs, inputs, (first, second) => {
      const primary = attempt({ ...first, serverConnections: Math.min(first.serverConnections, maxServerConnections(first)) });
      if (!fits(primary)) return;
      const standby = attempt({ ...second, serverConnections: Math.min(second.serverConnections, maxServerConnections(second)), primary });
      if (!fits(standby)) return;
      for (const name of STANDBY_NOT_BELOW) expect(figure(standby, name), name).toBeGreaterThanOrEqual(figure(primary, name));
    }),
    { numRuns: 300 },
  );
});

test("a lifted value says so", () => {
  const primary = tune(inputFor({ plannedConnections: 170 }));
  expect(lookUp(tune(inputFor({ primary })), "max_connections")).toEqual({
    name: "max_connections",
    value: { kind: "number", value: 200 },
    reason: "as on the primary, not 100: a standby may not have less",
    restart: true,
    source: "default",
  });
});

test("PostgreSQL 17's own table accepts every rendered value, and reads it back as it was meant", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const settings = attempt(input);
      if (!fits(settings)) return;
      const rendered = renderPostgresql(settings);
      for (const { name, value } of settings) {
        const read = parseValue(name, rendered[name]!);
        expect(read, `${name} = ${rendered[name]}`).toEqual(value);
      }
    }),
    { numRuns: 200 },
  );
});

test("every RDS value is a whole number in range where RDS wants one", () => {
  fc.assert(
    fc.property(inputs, fc.integer({ min: 15, max: 18 }), (input, version) => {
      const settings = attempt({ ...input, platform: "rds" });
      if (!fits(settings)) return;
      const words = /^(on|none|all|lz4|logical|UTC|app|TLSv1\.2|ddl,role|scram-sha-256|(citus,)?pg_stat_statements,pg_cron,pgaudit)$/;
      for (const { name, value } of renderRds(settings, version))
        expect(/^\d+(\.\d+)?$/.test(value) || words.test(value), `${name} = ${value}`).toBe(true);
    }),
    { numRuns: 200 },
  );
});
