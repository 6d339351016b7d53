/**
 * The rehearsal of a climb on bare servers: the real mover, gateway, shards and a PgBouncer, without a stack around them. For a machine that does not
 * carry one; it has no replicas, no fail-over and no disk to wait for.
 */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { applyMigrations } from "../agent/migrate/index.ts";
import { SHARDS, warmSessions } from "../agent/shards/gateway/warm.ts";
import { advanceShards, finishShards } from "../agent/shards/index.ts";
import { applyDefinitions } from "../agent/shards/schema.ts";
import type { GlobalTable, ShardedTable } from "../agent/shards/types.ts";
import { EXAMPLE_TABLES } from "../plan/config/tables.ts";
import { shardClasses } from "../plan/shards.ts";
import { ms } from "../plan/types.ts";
import { renderClimb } from "../rehearsal/climb/report.ts";
import { climb, loadTables } from "../rehearsal/climb/run.ts";
import type { Climber, Values } from "../rehearsal/climb/stack.ts";
import { readSteps } from "../rehearsal/climb/steps.ts";
import { tableSql } from "../rehearsal/table.ts";
import { startShards, type TestFleet } from "../test/support/shards.ts";
import { networkOf, startPooler } from "./fleet.ts";

const OWN = { role: "app", lockTimeout: ms(2_000), log: () => undefined };
const LOOKS = 200;

const inPublic = (table: string): GlobalTable => ({ schema: "public", table });
const byKey = (table: string, key: string): ShardedTable => ({ ...inPublic(table), key, keyType: "bigint" });
const SHARDED = Object.entries(EXAMPLE_TABLES).flatMap(([table, { shardBy }]) => (shardBy === undefined ? [] : [byKey(table, shardBy)]));
const GLOBAL = Object.entries(EXAMPLE_TABLES).flatMap(([table, { global }]) => (global ? [inPublic(table)] : []));

/** Climbs without a stack: what the mover's container does, done here. */
class Bare implements Climber {
  readonly #fleet: TestFleet;
  readonly #folder: string;
  readonly #port: number;
  readonly #pooler: string;
  readonly #say: (line: string) => void;

  constructor(
    fleet: TestFleet,
    { folder, port, pooler, say }: { folder: string; port: number; pooler: string; say: (line: string) => void },
  ) {
    this.#fleet = fleet;
    this.#folder = folder;
    this.#port = port;
    this.#pooler = pooler;
    this.#say = say;
  }

  async up({ stage, shards = "{}" }: Values): Promise<void> {
    const { count = 4 } = JSON.parse(shards) as { count?: number };
    const classes = stage === "4" ? shardClasses(count) : [];
    const { fleet } = this.#fleet;
    const all = fleet.shards.map((shard, index) => ({ ...shard, class: classes[index] ?? shard.class }));
    const options = {
      fleet: { ...fleet, shards: all },
      wanted: classes.map((_, index) => index),
      define: async ({ connect, database: server }: (typeof all)[number]) => {
        await applyDefinitions({ ...OWN, connect, folder: this.#folder, server });
      },
      warm: () => warmSessions({ pooled: () => this.#connect("app"), what: SHARDS, patience: ms(5_000) }),
      log: this.#say,
      done: this.#say,
    };
    for (let shown: string | undefined; ; await sleep(LOOKS)) {
      const now = await advanceShards(options);
      if (now === undefined) return;
      if (now !== shown) this.#say(now);
      shown = now;
    }
  }

  url(kind: "write" | "read"): Promise<string> {
    return Promise.resolve(
      `postgresql://${kind === "write" ? "app" : "app_ro"}@127.0.0.1:${this.#port}/${kind === "write" ? "app" : "app_read"}`,
    );
  }

  async finish(): Promise<void> {
    const admin = await this.#fleet.gateway.db.connect();
    await finishShards(admin);
    await admin.end();
  }

  containers(): Promise<string[]> {
    const { gateway, shards } = this.#fleet;
    return Promise.resolve([this.#pooler, gateway.server.name, ...shards.map(({ server }) => server.name)]);
  }

  async #connect(database: string): Promise<pg.Client> {
    const client = new pg.Client({ host: "127.0.0.1", port: this.#port, user: "app", database });
    await client.connect();
    return client;
  }
}

export interface Moving {
  /** Messages at first. */
  rows: number;
  /** As `npm run rehearse` takes them. */
  steps: string;
  seconds: number;
}

/** @returns the report of `npm run rehearse`, a line each */
export async function moving({ rows, steps: text, seconds }: Moving, progress: (line: string) => void): Promise<string[]> {
  const steps = readSteps(text);
  const loads = loadTables(steps);
  const tables = [...SHARDED, ...loads.map((table) => byKey(table, "user_id"))];
  const servers = Math.max(...steps.map(({ stage, shards }) => (stage === 4 ? (shards ?? 4) : 1)));
  const folder = mkdtempSync(join(tmpdir(), "pgladder-moving-"));
  cpSync(join(import.meta.dirname, "../sql/app"), folder, { recursive: true });
  writeFileSync(join(folder, "9001_rehearsal.sql"), loads.map(tableSql).join(""));
  const ledgers = mkdtempSync(join(tmpdir(), "pgladder-ledgers-"));
  const fleet = await startShards({ shards: servers, tables, globals: GLOBAL });
  const stops: (() => Promise<unknown>)[] = [fleet.stop];
  try {
    const connect = () => fleet.gateway.db.connect();
    await applyMigrations({ ...OWN, connect, folder, set: "app" });
    const pooler = `${fleet.gateway.server.name}-pooler`;
    const { port, stop } = await startPooler(await networkOf(fleet.gateway.server.name), pooler, servers);
    stops.push(stop);
    const bare = new Bare(fleet, { folder, port, pooler, say: progress });
    const options = {
      name: "bare",
      folder: ledgers,
      steps,
      values: {},
      messages: rows,
      clients: 20,
      rate: 100,
      routed: 0.5,
      speedSeconds: seconds,
    };
    return renderClimb(await climb(bare, { ...options, pgbench: undefined, maxStall: undefined, say: progress }));
  } finally {
    for (const stop of stops.reverse()) await stop();
    for (const made of [folder, ledgers]) rmSync(made, { recursive: true, force: true });
  }
}
