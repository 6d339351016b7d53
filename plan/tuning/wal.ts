import { gib, ms, type Workload } from "../types.ts";
import { always, type Scope, selfManaged, type Topic } from "./scope.ts";
import { bool, clamp, memory, number, roughly, text, time, wholeMib } from "./values.ts";

/** Crash recovery replays up to this much; beyond it larger values save nothing measurable for short transactions. */
const MAX_WAL_CAP = { web: gib(16), oltp: gib(16), mixed: gib(16), analytics: gib(64) } as const satisfies Record<Workload, number>;

const maxWal = ({ input }: Scope) => wholeMib(clamp(gib(input.machine.storage) * 0.16, gib(1), MAX_WAL_CAP[input.workload]));

/** WAL and checkpoints: checklist P2. */
export const walTopic = {
  wal_level: always(text("logical"), "static, and every later climb copies by logical replication: set from stage 1"),
  wal_buffers: ({ budget }) => ({
    value: memory(budget.walBuffers),
    reason: `a sixteenth of ${roughly(budget.sharedBuffers)} shared_buffers, 16 to 64MB: a bulk load fills a segment while the last one is flushed`,
  }),
  min_wal_size: (scope) => {
    const most = maxWal(scope);
    return {
      value: memory(wholeMib(clamp(most / 4, Math.min(gib(1), most / 2), gib(4)))),
      reason: "a quarter of max_wal_size, 1 to 4GB: segments that are renamed and not created anew",
    };
  },
  max_wal_size: (scope) => ({
    value: memory(maxWal(scope)),
    reason: `16% of ${scope.input.machine.storage}GB storage, 1GB to ${roughly(MAX_WAL_CAP[scope.input.workload])}: rarer checkpoints, fewer full pages (pgbench: 80MB 9,271 bytes a transaction, 8GB 2,071)`,
  }),
  checkpoint_timeout: ({ input }) =>
    input.workload === "analytics"
      ? { value: time(ms(1_800_000)), reason: "bulk loads touch a page once: half an hour between checkpoints" }
      : {
          value: time(ms(900_000)),
          reason: "a page is written to WAL in full once a checkpoint: a third as often as with 5min; recovery stays short",
        },
  checkpoint_completion_target: always(number(0.9), "spreads the writes over nine tenths of the interval"),
  wal_compression: always(
    text("lz4"),
    "full pages shrink to a quarter; zstd is smaller but costs more (pgbench right after a checkpoint: off 8,425 bytes a transaction, lz4 2,167 and 170us CPU, zstd 1,416 and 216us)",
  ),
  wal_writer_delay: always(
    time(ms(50)),
    "logical subscribers commit asynchronously and report after the WAL writer's flush: a flip waits up to 50ms for it and not 200ms",
  ),
  wal_keep_size: always(memory(gib(1)), "a replica without a slot may be away for 64 segments"),
  max_slot_wal_keep_size: ({ input }) => ({
    value: memory(wholeMib(Math.max(gib(input.machine.storage) * 0.24, gib(2)))),
    reason: `24% of ${input.machine.storage}GB storage: a forgotten slot is dropped before it fills the disk and stops the primary`,
  }),
  wal_log_hints: selfManaged(bool(true), "pg_rewind needs it, or checksums; with checksums, which are on, it costs nothing more"),
  full_page_writes: selfManaged(bool(true), "a torn page after a crash is repaired from WAL"),
  fsync: selfManaged(bool(true), "an acknowledged commit is on the disk"),
  synchronous_commit: always(text("on"), "an acknowledged commit is durable; one transaction may SET LOCAL it off"),
  archive_mode: selfManaged(text("on"), "static: switched on before there is an archive, so that backups start without a restart"),
  archive_command: selfManaged(text("/bin/true"), "keeps nothing until backups are configured; reloading is enough to change it"),
  temp_file_limit: ({ input }) => ({
    value: memory(wholeMib(clamp(gib(input.machine.storage) * 0.25, gib(1), gib(1024)))),
    reason: `a quarter of ${input.machine.storage}GB storage, 1GB to 1TB: one runaway sort is stopped before the disk is full`,
  }),
} satisfies Topic;
