/** The load of a rehearsal: clients that write at a steady rate through the write URL, and readers that check on them through the read URL. */
import { InputError, type Problem } from "../plan/types.ts";
import { type Doors, makeDoors, routedOf } from "./doors.ts";
import { KnownRows } from "./known.ts";
import { Ledger } from "./ledger.ts";
import { now, type Outcome, type ReadOutcome, type RunPlan } from "./model.ts";
import { runProbe, runReader } from "./reader.ts";
import { Schedule } from "./schedule.ts";
import { checkTable, DEFAULT_TABLE, prepareTable } from "./table.ts";
import { checkTarget } from "./target.ts";
import { Writer } from "./writer.ts";

export interface LoadOptions {
  writeUrl: string;
  /** Without it nothing is read and nothing said about reads. */
  readUrl?: string;
  /** Path of the ledger to make; one file a run. */
  ledger: string;
  /** 1 to 200, each with a connection of its own. @default 20 */
  clients?: number;
  /** Writes a second, all clients together, up to 5,000. @default 200 */
  rate?: number;
  /** Reads a second, all readers together, up to 5,000. @default the write rate */
  readRate?: number;
  /**
   * Share of clients and readers that go through the client library's shard router, 0 to 1; the others go through the URLs as any driver does.
   * @default 0
   */
  routed?: number;
  /** @default ladder_rehearsal_writes */
  table?: string;
  /** Also accept private addresses and Docker names as hosts. @default false */
  allowPrivate?: boolean;
  /** The load stops by itself after this time, at most an hour. @default 3600 */
  maxSeconds?: number;
  /** How long `stop` lets clients finish what was due, ms. @default 15000 */
  drain?: number;
}

/** Counts since the start. */
export interface LiveFigures {
  writes: Record<Exclude<Outcome, "pending">, number>;
  /** Writes that are due and not started. */
  overdue: number;
  reconnects: number;
  reads: Record<ReadOutcome, number>;
}

export interface Load {
  readonly ledger: Ledger;
  figures(): LiveFigures;
  /** Puts a word into the timeline, "switchover" say. */
  mark(text: string): void;
  /**
   * Nothing new becomes due, what is due is finished within the drain time, connections are closed and the ledger is complete.
   * @throws when the ledger could not record (a full disk): such a run proves nothing.
   */
  stop(): Promise<void>;
  /** Settles as `stop` does, also when the load ended by itself. */
  readonly ended: Promise<void>;
}

const MAX_READERS = 10;
/** Tries a second to write through the read URL. */
const PROBES = 1;

/** @returns what is wrong with the options, all at once. */
export function checkLoad(options: LoadOptions): Problem[] {
  const { writeUrl, readUrl, clients = 20, rate = 200, readRate, routed = 0, table = DEFAULT_TABLE } = options;
  const { allowPrivate = false, maxSeconds = 3600 } = options;
  const range = (path: string, got: number, low: number, high: number, whole = false): Problem[] =>
    got >= low && got <= high && (!whole || Number.isInteger(got))
      ? []
      : [{ path, got, want: `${whole ? "a whole number" : "a number"} from ${low} to ${high}` }];
  return [
    ...checkTarget("write", writeUrl, allowPrivate),
    ...(readUrl === undefined ? [] : checkTarget("read", readUrl, allowPrivate)),
    ...range("clients", clients, 1, 200, true),
    ...range("rate", rate, 0.1, 5000),
    ...(readRate === undefined ? [] : range("readRate", readRate, 0.1, 5000)),
    ...range("routed", routed, 0, 1),
    ...range("seconds", maxSeconds, 1, 3600),
    ...checkTable(table),
  ];
}

/** Clients start evenly spread over one interval, so that the rate is even. */
function schedules(n: number, perSecond: number, started: number, endsAt: number): Schedule[] {
  const interval = (1000 * n) / perSecond;
  return Array.from({ length: n }, (_, i) => new Schedule(started + (i * interval) / n, interval, endsAt));
}

class RunningLoad implements Load {
  readonly ledger: Ledger;
  readonly ended: Promise<void>;
  readonly #live: LiveFigures;
  readonly #doors: Doors;
  readonly #writeTurns: readonly Schedule[];
  readonly #readTurns: readonly Schedule[];
  readonly #drain: number;
  readonly #limit: NodeJS.Timeout;
  #stopped: number;
  #draining: NodeJS.Timeout | undefined;
  #abandoned = false;

  constructor(setup: {
    ledger: Ledger;
    live: LiveFigures;
    doors: Doors;
    plan: RunPlan;
    endsAt: number;
    drain: number;
  }) {
    const { ledger, live, doors, plan, endsAt, drain } = setup;
    const { table, clients, rate, readers, readRate, started } = plan;
    this.ledger = ledger;
    this.#live = live;
    this.#doors = doors;
    this.#drain = drain;
    this.#stopped = endsAt;
    this.#writeTurns = schedules(clients, rate, started, endsAt);
    const readTurns = schedules(readers, readRate, started, endsAt);
    const probeTurns = doors.probe ? schedules(1, PROBES, started, endsAt) : [];
    this.#readTurns = [...readTurns, ...probeTurns];

    const known = new KnownRows();
    const abandoned = () => this.#abandoned;
    const onWrite = (outcome: Exclude<Outcome, "pending">) => {
      live.writes[outcome]++;
    };
    const onRead = (outcome: ReadOutcome) => {
      live.reads[outcome]++;
    };
    let lastWrite = 0;
    const nextWrite = () => ++lastWrite;
    const writing = this.#writeTurns.map((schedule, client) => {
      const door = doors.writes[client]!;
      return new Writer({ client, door, ledger, known, schedule, nextWrite, onResult: onWrite, onRead }).run(abandoned);
    });
    const reading = readTurns.map((schedule, reader) =>
      runReader({ door: doors.reads[reader]!, ledger, known, schedule, onResult: onRead }, abandoned),
    );
    const { probe } = doors;
    const probing = probe
      ? probeTurns.map((schedule) => runProbe({ table, session: probe, ledger, schedule, onResult: onRead }, abandoned))
      : [];
    this.#limit = setTimeout(() => this.#halt(), endsAt - now());
    this.ended = this.#finish([...writing, ...reading, ...probing]);
    this.ended.catch(() => undefined);
  }

  figures(): LiveFigures {
    const overdue = this.#writeTurns.reduce((sum, schedule) => sum + schedule.overdue(now()), 0);
    return { writes: { ...this.#live.writes }, reads: { ...this.#live.reads }, reconnects: this.#live.reconnects, overdue };
  }

  mark(text: string): void {
    this.ledger.mark({ at: now(), text });
  }

  stop(): Promise<void> {
    this.#halt();
    return this.ended;
  }

  /** Nothing becomes due any more; after the drain time what still runs is cut. */
  #halt(): void {
    if (this.#draining) return;
    this.#stopped = Math.min(this.#stopped, now());
    for (const schedule of [...this.#writeTurns, ...this.#readTurns]) schedule.stop(this.#stopped);
    this.#draining = setTimeout(() => {
      this.#abandoned = true;
      for (const door of [...this.#doors.writes, ...this.#doors.reads]) door.cut();
      this.#doors.probe?.cut();
    }, this.#drain);
  }

  async #finish(running: readonly Promise<void>[]): Promise<void> {
    for (const one of running) one.catch(() => this.#halt());
    const results = await Promise.allSettled(running);
    clearTimeout(this.#limit);
    clearTimeout(this.#draining);
    await this.#doors.close();
    const late = this.#writeTurns.filter((schedule) => schedule.overdue(this.#stopped) > 0);
    const overdue = late.reduce((sum, schedule) => sum + schedule.overdue(this.#stopped), 0);
    const since = late.length > 0 ? { overdueSince: Math.min(...late.map((schedule) => schedule.due)) } : {};
    this.ledger.finish({ stopped: this.#stopped, ended: now(), overdue, ...since });
    const broken = results.find((result) => result.status === "rejected");
    if (broken) throw broken.reason;
    if (this.ledger.failure !== undefined) throw this.ledger.failure;
  }
}

/**
 * Makes the table and the ledger, opens every connection, and starts the load.
 * @throws InputError for options out of bounds, an existing ledger file or a table that holds rows; the driver's error when a URL cannot be
 * reached.
 */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const problems = checkLoad(options);
  if (problems.length > 0) throw new InputError("rehearsal", problems);
  const { writeUrl, readUrl, clients = 20, rate = 200, routed = 0, table = DEFAULT_TABLE, maxSeconds = 3600, drain = 15_000 } = options;
  const readers = readUrl === undefined ? 0 : Math.min(MAX_READERS, clients);
  const readRate = readers > 0 ? (options.readRate ?? rate) : 0;
  await prepareTable(writeUrl, table);

  const live: LiveFigures = {
    writes: { acknowledged: 0, failed: 0, refused: 0, unknown: 0 },
    overdue: 0,
    reconnects: 0,
    reads: { fresh: 0, stale: 0, unseen: 0, error: 0, "probe-refused": 0, "probe-accepted": 0, "probe-error": 0 },
  };
  let ledger: Ledger | undefined;
  const onReconnect = (at: number, side: "write" | "read") => {
    ledger?.reconnect(at, side);
    if (side === "write") live.reconnects++;
  };
  const doors = makeDoors({ writeUrl, readUrl, table, clients, readers, share: routed, onReconnect });
  const opened = await Promise.allSettled(
    [...doors.writes, ...doors.reads, ...(doors.probe ? [doors.probe] : [])].map((door) => door.open()),
  );
  const refused = opened.find((result) => result.status === "rejected");
  const started = now();
  const plan: RunPlan = { table, clients, routed: routedOf(clients, routed), rate, readers, readRate, started };
  try {
    if (refused) throw refused.reason;
    ledger = Ledger.create(options.ledger, plan);
    return new RunningLoad({ ledger, live, doors, plan, endsAt: started + maxSeconds * 1000, drain });
  } catch (error) {
    await doors.close();
    throw error;
  }
}
