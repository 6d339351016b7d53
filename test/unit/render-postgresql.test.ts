/** postgresql.conf, Patroni's parameters and RDS parameter groups. Cannot prove that RDS takes them: AWS was not asked. */
import { describe, expect, test } from "vitest";
import { renderConf, renderPostgresql } from "../../plan/render/postgresql.ts";
import { type RdsParameter, renderRds } from "../../plan/render/rds.ts";
import { tune } from "../../plan/tuning/index.ts";
import type { Setting } from "../../plan/tuning/types.ts";
import { kib, ms } from "../../plan/types.ts";
import { inputFor } from "../support/tuning.ts";

const setting = (name: string, value: Setting["value"]): Setting => ({ name, value, reason: "why", restart: false, source: "default" });

test("units: the largest that is exact", () => {
  expect(
    renderPostgresql([
      setting("shared_buffers", { kind: "memory", kib: kib(1_048_576) }),
      setting("temp_file_limit", { kind: "memory", kib: kib(1_310_720) }),
      setting("work_mem", { kind: "memory", kib: kib(5_000) }),
      setting("track_activity_query_size", { kind: "memory", kib: kib(2_000 / 1_024) }),
      setting("wal_keep_size", { kind: "memory", kib: kib(0) }),
      setting("checkpoint_timeout", { kind: "time", ms: ms(900_000) }),
      setting("wal_sender_timeout", { kind: "time", ms: ms(1_500) }),
      setting("autovacuum_vacuum_cost_delay", { kind: "time", ms: ms(0.5) }),
      setting("statement_timeout", { kind: "time", ms: ms(0) }),
      setting("jit", { kind: "bool", value: false }),
      setting("random_page_cost", { kind: "number", value: 1.1 }),
      setting("log_statement", { kind: "text", value: "none" }),
    ]),
  ).toEqual({
    shared_buffers: "1GB",
    temp_file_limit: "1280MB",
    work_mem: "5000kB",
    track_activity_query_size: "2000B",
    wal_keep_size: "0",
    checkpoint_timeout: "15min",
    wal_sender_timeout: "1500ms",
    autovacuum_vacuum_cost_delay: "0.5ms",
    statement_timeout: "0",
    jit: "off",
    random_page_cost: "1.1",
    log_statement: "none",
  });
});

test("postgresql.conf: reason above, quotes and backslashes doubled", () => {
  expect(
    renderConf([
      setting("work_mem", { kind: "memory", kib: kib(16_384) }),
      setting("archive_command", { kind: "text", value: "cp '%p' C:\\wal" }),
      setting("jit", { kind: "bool", value: false }),
    ]),
  ).toBe("# why\nwork_mem = '16MB'\n\n# why\narchive_command = 'cp ''%p'' C:\\\\wal'\n\n# why\njit = off\n");
});

describe("RDS", () => {
  const rendered = (version: number): Map<string, RdsParameter> =>
    new Map(renderRds(tune(inputFor({ platform: "rds" })), version).map((parameter) => [parameter.name, parameter]));

  test.each([
    ["shared_buffers", "131072", "pending-reboot"],
    ["effective_cache_size", "393216", "immediate"],
    ["work_mem", "16384", "immediate"],
    ["wal_buffers", "8192", "pending-reboot"],
    ["max_wal_size", "8192", "immediate"],
    ["checkpoint_timeout", "900", "immediate"],
    ["wal_sender_timeout", "20000", "immediate"],
    ["track_activity_query_size", "4096", "pending-reboot"],
    ["jit", "0", "immediate"],
    ["log_lock_waits", "1", "immediate"],
    ["max_connections", "100", "pending-reboot"],
    ["random_page_cost", "1.1", "immediate"],
    ["shared_preload_libraries", "pg_stat_statements,pg_cron,pgaudit", "pending-reboot"],
    ["rds.logical_replication", "1", "pending-reboot"],
    ["rds.force_ssl", "1", "immediate"],
    ["timezone", "UTC", "immediate"],
    ["io_combine_limit", "32", "immediate"],
  ] as const)("%s = %s, %s", (name, value, applyMethod) => {
    expect(rendered(17).get(name)).toEqual({ name, value, applyMethod });
  });

  test("what RDS refuses is not sent", () => {
    const names = [...rendered(17).keys()];
    for (const refused of [
      "wal_level",
      "ssl",
      "reserved_connections",
      "superuser_reserved_connections",
      "log_line_prefix",
      "hot_standby",
    ]) {
      expect(names).not.toContain(refused);
    }
  });

  test.each([
    [15, false, false],
    [16, true, false],
    [17, true, true],
  ])("version %i: only its own parameters", (version, vacuumRing, combine) => {
    const names = rendered(version);
    expect([names.has("vacuum_buffer_usage_limit"), names.has("io_combine_limit"), names.has("transaction_timeout")]).toEqual([
      vacuumRing,
      combine,
      combine,
    ]);
  });

  test("sorted by name, each once", () => {
    const names = renderRds(tune(inputFor({ platform: "rds" })), 17).map(({ name }) => name);
    expect(names).toEqual([...new Set(names)].sort());
  });

  test("-1 stays -1 in any unit", () => {
    const settings = tune(inputFor({ platform: "rds", overrides: { temp_file_limit: "-1" } }));
    expect(renderRds(settings, 17).find(({ name }) => name === "temp_file_limit")?.value).toBe("-1");
  });
});
