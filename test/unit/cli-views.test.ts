/** How rows of views become text, and what the command line refuses. Needs no stack. */
import type { ContainerStats } from "dockerode";
import { expect, test } from "vitest";
import { poolRow } from "../../agent/maintenance/view.ts";
import { coresIn, ioWait, machineRow } from "../../cli/commands/machines.ts";
import { readCount, VIEWS, viewName, views } from "../../cli/commands/views.ts";
import { bytes, cell, seconds, table } from "../../cli/table.ts";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [8192, "8 kB"],
  [12_634_000, "12 MB"],
  [1_610_612_736, "1.5 GB"],
  [200 * 1024 ** 4, "200 TB"],
  [-2048, "-2 kB"],
])("%d bytes: %s", (value, text) => expect(bytes(value)).toBe(text));

test.each([
  [0.0042, "0.004 s"],
  [59.9, "59.9 s"],
  [60, "1 min"],
  [125, "2 min 5 s"],
  [3_600, "1 h"],
  [93_784, "1 d 2 h"],
])("%d seconds: %s", (value, text) => expect(seconds(value)).toBe(text));

test.each([
  ["size_bytes", 8192, "8 kB"],
  ["mean_ms", 12.5, "12.5 ms"],
  ["running_ms", 65_000, "1 min 5 s"],
  ["used_percent", 49.8, "49.8 %"],
  ["live_rows", 1_234_567, "1,234,567"],
  ["pid", 12_345, "12345"],
  ["root_pid", 12_345, "12345"],
  ["query_id", "-5946439173591740211", "-5946439173591740211"],
  ["last_run", "2026-11-21T15:07:12.904572+00:00", "2026-11-21 15:07:12"],
  ["query", "select 1\n  from x", "select 1 from x"],
  ["active", true, "yes"],
  ["blocked_by", [1, 2], "1, 2"],
  ["fix", null, ""],
])("%s %j: %s", (column, value, text) => expect(cell(column, value)).toBe(text));

test("a table: units leave the title, numbers stand right, empty and hidden columns are left out", () => {
  const rows = [
    { table: "public.a", index_oid: 1, size_bytes: 8192, scans: 5, fix: null },
    { table: "public.longer", index_oid: 2, size_bytes: null, scans: 12_000, fix: null },
  ];
  expect(table(rows, ["index_oid"])).toEqual(["table          size   scans", "public.a       8 kB       5", "public.longer        12,000"]);
});

test("rows of several nodes may have different columns", () => {
  expect(
    table([
      { on: "main-1", state: "streaming" },
      { on: "main-2", error: "no answer" },
    ]),
  ).toEqual(["on      state      error", "main-1  streaming", "main-2             no answer"]);
});

test("the guide's quick reference and the requirement's list are commands", () => {
  const wanted = [
    "database-size table-sizes index-usage locks replication",
    "connections pools cache-hit throughput dead-tuples long-transactions slow-statements sequential-scans index-advice bloat health blocked job-runs",
  ].flatMap((line) => line.split(" "));
  expect(wanted.filter((name) => !(name in VIEWS))).toEqual([]);
  expect(viewName("long-transactions")).toBe("long_transactions");
});

test("ladder views lists each with one line", () => {
  const shown: { lines?: readonly string[]; value?: unknown } = {};
  views({ say: () => undefined, result: (lines, value) => Object.assign(shown, { lines, value }) });
  expect(shown.lines).toContain("database-size      Size of each database");
  expect(shown.value).toContainEqual({ command: "database-size", view: "ladder.database_size", what: "Size of each database" });
  expect(shown.value).toContainEqual({ command: "pools", view: null, what: VIEWS.pools!.what });
});

test.each(["0", "-1", "x", "1.5", "1000000"])("a count of %s is refused", (text) => {
  expect(() => readCount(text)).toThrow(`got ${JSON.stringify(text)}, want a whole number from 1 to 999999`);
});

test("a pool: clients, waiting time, and the share of its server connections that is in use", () => {
  const pool = {
    database: "app",
    user: "app",
    pool_mode: "transaction",
    cl_active: 7,
    cl_waiting: 3,
    sv_active: 15,
    sv_idle: 2,
    maxwait: 1,
    maxwait_us: 250_400,
  };
  expect(poolRow(pool, 40)).toEqual({
    database: "app",
    user: "app",
    mode: "transaction",
    clients: 10,
    clients_waiting: 3,
    longest_wait_ms: 1250,
    servers_active: 15,
    servers_idle: 2,
    pool_size: 40,
    used_percent: 37.5,
  });
  expect(poolRow(pool, 0).used_percent).toBeNull();
});

test("a machine: shares of the cores and the memory that it may use, without the page cache, and the time that it waits for the disk", () => {
  const cpu = (used: number, machine: number) => ({ cpu_usage: { total_usage: used }, system_cpu_usage: machine, online_cpus: 4 });
  const stats = {
    precpu_stats: cpu(1_000, 100_000),
    cpu_stats: cpu(2_000, 108_000),
    memory_stats: { usage: 900, limit: 1_000, stats: { inactive_file: 400 } },
    blkio_stats: {
      io_service_bytes_recursive: [
        { op: "Read", value: 1 },
        { op: "Write", value: 2 },
        { op: "read", value: 10 },
        { op: "Total", value: 13 },
      ],
    },
  } as unknown as ContainerStats;
  const pressure = "some avg10=3.80 avg60=2.16 avg300=1.40 total=1\nfull avg10=0.01 avg60=0 avg300=0 total=1\n";
  const shared = {
    part: "main-1",
    memory_bytes: 500,
    memory_limit_bytes: 1_000,
    memory_used_percent: 50,
    read_bytes: 11,
    written_bytes: 2,
  };
  expect(machineRow("main-1", stats, 2, pressure)).toEqual({ ...shared, cores: 2, cpu_percent: 25, io_wait_percent: 3.8 });
  expect(machineRow("main-1", stats, undefined, "")).toEqual({ ...shared, cores: 4, cpu_percent: 12.5, io_wait_percent: null });
  expect([coresIn(""), coresIn("0"), coresIn("0-3"), coresIn("0-1,4,6-7")]).toEqual([undefined, 1, 4, 5]);
  expect(ioWait("cat: /proc/pressure/io: No such file")).toBeNull();
});
