/** The operator's overrides: what is accepted, what is refused, and in which words. */
import { describe, expect, test } from "vitest";
import { lookUp, roleTimeouts, tune } from "../../plan/tuning/index.ts";
import type { TuningInput } from "../../plan/tuning/types.ts";
import { InputError } from "../../plan/types.ts";
import { inputFor, shown } from "../support/tuning.ts";

function problems(changes: Partial<TuningInput>): string[] {
  try {
    tune(inputFor(changes));
  } catch (error) {
    if (error instanceof InputError)
      return error.message
        .split("\n")
        .slice(1)
        .map((line) => line.trim());
    throw error;
  }
  return [];
}

describe("refused", () => {
  test.each([
    ["foo", "1", "a parameter of PostgreSQL 17, pg_stat_statements, pg_cron or pgaudit"],
    ["server_version", "16", "a parameter of PostgreSQL 17, pg_stat_statements, pg_cron or pgaudit"],
    ["wal_level", "minimal", "no override: later climbs copy by logical replication"],
    ["Port", "5433", "no override: every URL, the pooler and the health checks rely on it; the config key `port` is the pooler's"],
    ["ssl", "off", "no override: TLS is on everywhere, with the stack's own certificates"],
    ["fsync", "off", "no override: without it a crash destroys the cluster"],
    ["synchronous_commit", "off", "no override: use the config key `synchronous`; a single transaction may SET LOCAL synchronous_commit"],
    ["jit", "maybe", "on or off"],
    ["wal_compression", "gzip", "one of pglz, lz4, zstd, on, off"],
    ["random_page_cost", "cheap", "a number from 0 to 1.79769e+308"],
    ["io_combine_limit", "33", "a whole number from 1 to 32, in 8kB or with a unit such as 16MB"],
    ["checkpoint_timeout", "2s", "a whole number from 30 to 86400, in s or with a unit such as 5s"],
    ["checkpoint_timeout", "15 MB", "a whole number from 30 to 86400, in s or with a unit such as 5s"],
    ["bgwriter_lru_maxpages", "10.5", "a whole number from 0 to 1073741823"],
    ["bgwriter_lru_maxpages", "10MB", "a whole number from 0 to 1073741823"],
    ["log_line_prefix", "two\nlines", "a text on one line"],
    ["max_connections", "60", "at least 70: 50 of the poolers + 20 reserved"],
    ["superuser_reserved_connections", "1", "at least 5: Patroni and an operator"],
    ["reserved_connections", "80", "at most 45, so that the poolers get their 50"],
    ["min_wal_size", "9GB", "at most max_wal_size"],
  ])("%s = %s", (name, value, want) => {
    expect(problems({ overrides: { [name]: value } })).toEqual([`settings.${name}: got ${JSON.stringify(value)}, want ${want}`]);
  });

  test("less than the climb needs", () => {
    expect(problems({ overrides: { max_wal_senders: "5" } })).toEqual([
      'settings.max_wal_senders: got "5", want at least 34: 10 for replicas and base backups + 8 targets of a move × (1 stream + 2 table copies): static, sized for the climb',
    ]);
  });

  test("work_mem that the memory cannot hold, with the arithmetic", () => {
    expect(problems({ overrides: { work_mem: "64MB" } })).toEqual([
      'settings.work_mem: got "64MB", want less, or at least 13GB of memory (4GB memory − 1GB shared_buffers − 64MB wal_buffers − 410MB for the system − 256MB maintenance_work_mem − 3 autovacuum workers × 64MB − 70 connections × 6MB = 420MB: 1730MB left, and 2 × 52 backends × 64MB work_mem = 6656MB is needed)',
    ]);
  });

  test("RDS: what a parameter group does not offer", () => {
    expect(problems({ platform: "rds", overrides: { wal_init_zero: "off" } })).toEqual([
      'settings.wal_init_zero: got "off", want a parameter that RDS lets be set',
    ]);
  });

  test("all problems at once, with those of the machine", () => {
    const bad = { machine: { cores: 0, memory: 0 as never, storage: -1, disk: "ssd" as const }, serverConnections: 0.5, replicas: -1 };
    expect(problems({ ...bad, overrides: { foo: "1", jit: "maybe" } })).toEqual([
      "machine.cores: got 0, want a whole number of at least 1",
      "machine.memory: got 0, want memory in KiB above 0",
      "machine.storage: got -1, want storage in GiB above 0",
      "serverConnections: got 0.5, want a whole number of at least 1",
      "replicas: got -1, want a whole number of at least 0",
      'settings.foo: got "1", want a parameter of PostgreSQL 17, pg_stat_statements, pg_cron or pgaudit',
      'settings.jit: got "maybe", want on or off',
    ]);
  });
});

describe("accepted", () => {
  test.each([
    ["work_mem", "16384", "16MB"],
    ["work_mem", " 8 MB ", "8MB"],
    ["shared_buffers", "65536", "512MB"],
    ["max_wal_size", "4096", "4GB"],
    ["track_activity_query_size", "2000", "2000B"],
    ["checkpoint_timeout", "600", "10min"],
    ["checkpoint_timeout", "0.5h", "30min"],
    ["autovacuum_vacuum_cost_delay", "0.5", "0.5ms"],
    ["wal_compression", "ZSTD", "zstd"],
    ["ssl_min_protocol_version", "tlsv1.3", "TLSv1.3"],
    ["jit", "yes", "on"],
    ["log_min_duration_statement", "-1", "-1"],
    ["autovacuum_work_mem", "-1", "-1"],
    ["wal_buffers", "-1", "-1"],
    ["geqo_threshold", "20", "20"],
    ["pgaudit.log", "all", "all"],
    ["timezone", "Europe/Berlin", "Europe/Berlin"],
    ["max_connections", "300", "300"],
  ])("%s = %s", (name, value, expected) => {
    const settings = tune(inputFor({ overrides: { [name]: value } }));
    expect(shown(settings, name === "timezone" ? "TimeZone" : name)).toBe(expected);
  });

  test("an override moves what the budget gives the others", () => {
    expect(shown(tune(inputFor({ overrides: { shared_buffers: "512MB" } })), "work_mem")).toBe("21MB");
    expect(shown(tune(inputFor({ overrides: { hash_mem_multiplier: "4" } })), "work_mem")).toBe("8MB");
  });

  test("a parameter that is not computed is added with its restart flag", () => {
    const setting = lookUp(tune(inputFor({ overrides: { max_files_per_process: "2000" } })), "max_files_per_process");
    expect(setting).toEqual({
      name: "max_files_per_process",
      value: { kind: "number", value: 2000 },
      reason: "config key settings",
      restart: true,
      source: "override",
    });
  });

  test("statement_timeout and lock_timeout go to the application's roles, the server stays at 0", () => {
    const input = inputFor({ overrides: { statement_timeout: "45s", lock_timeout: "3s" } });
    expect(shown(tune(input), "statement_timeout")).toBe("0");
    expect(shown(tune(input), "lock_timeout")).toBe("0");
    expect(roleTimeouts(input)).toEqual({ statement_timeout: "45s", lock_timeout: "3s" });
  });
});
