/** Migrations where rows are on shards: file by file, on every shard and on the gateway. docs/migrations.md is the user's page. */
import { type Client, DatabaseError } from "pg";
import { InputError, type Ms, type Problem } from "../../plan/types.ts";
import { applyAlone, DEFAULT_TRIES, DEFAULT_WAIT, readScripts, watched } from "../shards/schema.ts";
import { type Begun, begin } from "./begin.ts";
import { gatewayRun, shardedOf } from "./gateway.ts";
import { definitionsOf, isOpaque, isRowWork } from "./place.ts";
import { refusals } from "./refuse.ts";
import { assessRisk, FILLED_TABLE } from "./risk.ts";
import { describe, type Run, runFile, withRetries } from "./run.ts";
import type { Script } from "./script.ts";

export interface FleetServer {
  /** In messages: app_shard_0; the gateway's is the database's name. */
  name: string;
  connect: () => Promise<Client>;
}

export interface FleetMigration {
  gateway: FleetServer;
  /** Those that have the schema, or are getting it. */
  shards: readonly FleetServer[];
  folder: string;
  role?: string;
  lockTimeout: Ms;
  log: (line: string) => void;
  linter?: string;
  /** Declared with shardBy, and declared global: schema.name. */
  sharded: readonly string[];
  globals: readonly string[];
  /** What moves rows just now, or the way back that is kept; undefined when nothing. */
  moveUnderWay: (gateway: Client) => Promise<string | undefined>;
  /** Waits until the copies of global tables have every change up to now. */
  globalsCaughtUp: (gateway: Client) => Promise<void>;
  /** Follows a file that defines tables on shards, in its transaction on the gateway: for what else shows their columns there. */
  onGateway: (gateway: Client) => Promise<void>;
  /** Follows each file on each shard, in its transaction; ids of new tables get the shard's own range there. */
  onShard: (shard: Client, name: string) => Promise<void>;
  tries?: number;
  wait?: Ms;
}

export interface FleetResult {
  applied: string[];
  already: number;
  /** Definitions of global tables have changed: their copies are to be compared again. */
  globalsChanged: boolean;
}

/**
 * Applies what is pending, file by file: definitions on every shard and the gateway in transactions that commit together, shards first; what
 * changes rows runs on the gateway when the shards have the file. A run that was killed goes on with the next one.
 *
 * @throws InputError for what can be seen before anything is changed, MigrationError for a file that fails: with server, file and statement.
 */
export async function migrateFleet(options: FleetMigration): Promise<FleetResult> {
  const { gateway, shards, log } = options;
  const scripts = await readScripts(options.folder, options.role, log);
  const clients: Client[] = [];
  const open = async ({ name, connect }: FleetServer): Promise<Client> => {
    const client = await connect().catch((error: Error) => {
      throw new InputError("app migrations (nothing was changed)", [
        { path: name, got: error.message, want: "a connection to its primary" },
      ]);
    });
    client.on("error", () => undefined);
    clients.push(client);
    return client;
  };
  try {
    const common = { ...options, role: options.role, tries: options.tries ?? DEFAULT_TRIES, wait: options.wait ?? DEFAULT_WAIT };
    const main = await begin(await open(gateway), { ...common, server: gateway.name, scripts, settled: () => false });
    const definitions = scripts.map(definitionsOf);
    const others: Begun[] = [];
    for (const shard of shards)
      others.push(
        await begin(await open(shard), { ...common, server: shard.name, scripts: definitions, settled: (file) => main.done.has(file) }),
      );
    return await apply(options, scripts, main, others);
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  }
}

async function apply(options: FleetMigration, scripts: readonly Script[], main: Begun, others: readonly Begun[]): Promise<FleetResult> {
  const { folder, log, linter, role } = options;
  const all = [main, ...others];
  const names = new Set(all.flatMap(({ pending }) => pending.map(({ file }) => file.name)));
  log(`${folder}: ${main.already} applied before, ${names.size} to apply`);
  const { client } = main.run;
  const globalFiles = new Set<string>();
  const shardedFiles = new Set<string>();
  const problems: Problem[] = [
    ...all.flatMap((begun) => begun.problems),
    ...(await refusals({ ...options, gateway: client, shard: others[0]?.run.client, pending: main.pending, globalFiles, shardedFiles })),
  ];
  if (problems.length > 0) throw new InputError("app migrations (nothing was changed)", problems);
  for (const { file, notes } of main.pending) for (const note of notes) log(`${file.path}: ${note}`);
  for (const { run, pending } of others.length === 0 ? [main] : [main, others[0]!])
    await assessRisk({ client: run.client, groups: pending.map((script) => [script]), linter, filled: FILLED_TABLE, onRisk: "warn", log });
  const sharded = await shardedOf(client, options.sharded);
  const parts = others.map((begun, at) => ({ ...begun, run: watched(begun.run), name: options.shards[at]!.name }));
  const inOrder = scripts.map(({ file }) => file.name).filter((name) => names.has(name));
  for (const name of inOrder) {
    const find = ({ pending }: Pick<Begun, "pending">) => pending.find(({ file }) => file.name === name);
    const onMain = find(main);
    const here = parts.flatMap((part) => {
      const script = find(part);
      return script ? [{ ...part, script }] : [];
    });
    await applyFile({
      gateway: onMain ? { run: gatewayRun(main.run, sharded), script: onMain } : undefined,
      shards: here.map(({ run, script, name: shard }) => ({ run, script, name: shard })),
      waits: globalFiles.has(name) ? () => options.globalsCaughtUp(client) : undefined,
      onGateway: shardedFiles.has(name) ? options.onGateway : undefined,
      onShard: options.onShard,
    });
    log(`${folder}/${name}: applied${onMain ? "" : ` on ${here.map((part) => part.name).join(", ")}, the gateway had it`}`);
    if (role !== undefined) await client.query("reset role");
  }
  return { applied: inOrder, already: main.already, globalsChanged: globalFiles.size > 0 };
}

interface Part {
  run: Run;
  script: Script;
}

interface FileWork {
  gateway: Part | undefined;
  shards: readonly (Part & { name: string })[];
  waits: (() => Promise<void>) | undefined;
  onGateway: FleetMigration["onGateway"] | undefined;
  onShard: FleetMigration["onShard"];
}

async function applyFile(work: FileWork): Promise<void> {
  const { gateway, shards } = work;
  if ((gateway ?? shards[0]!).script.outside !== undefined) {
    for (const { run, script, name } of shards) {
      await applyAlone(run, script);
      await work.onShard(run.client, name);
    }
    if (!gateway) return;
    await applyAlone(gateway.run, gateway.script);
    await work.onGateway?.(gateway.run.client);
  } else if (gateway?.script.statements.some(({ node }) => isRowWork(node) || isOpaque(node))) {
    // Rows are reached through the gateway's own connections, which would wait for what is open here.
    if (shards.length > 0) await together({ ...work, gateway: undefined });
    await together({ ...work, shards: [] });
  } else await together(work);
}

/** What follows a file fails as its last statement does. */
async function blame({ run, script }: Part, work: Promise<void> | undefined): Promise<void> {
  try {
    await work;
  } catch (error) {
    const last = script.statements.at(-1);
    throw last && error instanceof DatabaseError ? describe(run, script, last, error) : error;
  }
}

/**
 * A file on several servers in transactions that end together. The gateway's locks come first: whoever holds its tables may be waiting for a shard,
 * and nobody who enters by the gateway waits for a shard's lock then. Shards commit first: a column that is new is there when it is asked for.
 */
async function together({ gateway, shards, waits, onGateway, onShard }: FileWork): Promise<void> {
  const parts = [...(gateway ? [gateway] : []), ...shards];
  const each = async (work: (part: Part) => Promise<unknown>, over: readonly Part[] = parts) => {
    const outcomes = await Promise.allSettled(over.map(work));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
  };
  await withRetries(parts[0]!.run, async () => {
    await each(({ run }) => run.client.query("begin"));
    try {
      if (gateway) {
        await runFile(gateway.run, gateway.script);
        await blame(gateway, onGateway?.(gateway.run.client));
      }
      await waits?.();
      await each(async (part) => {
        const { run, script } = part;
        await runFile(run, script);
        await blame(part, onShard(run.client, run.server!));
        await run.ledger.logMigration({ name: script.file.name });
      }, shards);
      if (gateway) await gateway.run.ledger.logMigration({ name: gateway.script.file.name });
      for (const { run } of shards) await run.client.query("commit");
      await gateway?.run.client.query("commit");
    } catch (error) {
      await Promise.all(parts.map(({ run }) => run.client.query("rollback").catch(() => undefined)));
      throw error;
    }
  });
}
