/** What a ledger can be asked after a run: histories by key, answers in time order, figures, timeline. */
import type { KeyHistory, LedgerOperation } from "./compare.ts";
import type { Ledger } from "./ledger.ts";
import type { Outcome, ReadOutcome, RunEnd, RunPlan } from "./model.ts";
import { type Finished, longestStall, type Stall } from "./stall.ts";

/** Percentiles by nearest rank, ms; 0 when nothing was measured. */
export interface Latencies {
  p50: number;
  p95: number;
  p99: number;
  longest: number;
}

/** The writes of those clients that took the same way. */
export interface Way {
  way: "router" | "URL";
  clients: number;
  acknowledged: number;
  latency: Latencies;
  stall: Stall;
}

/** One second of a run, counted from its start. */
export interface Second {
  at: number;
  /** Writes that were due in it. */
  due: number;
  acknowledged: number;
  /** Failed, refused and unknown, by the time of the error. */
  errors: number;
  reconnects: number;
  /** The longest latency of a write acknowledged in it, ms. */
  slowest: number;
  reads: number;
  readErrors: number;
  marks: string[];
}

const ALL = "true";

export class History {
  readonly plan: RunPlan;
  /** Absent when the load process died before it could say how the run ended. */
  readonly end: RunEnd | undefined;
  readonly #db: Ledger["db"];

  constructor({ db }: Ledger) {
    this.#db = db;
    this.plan = JSON.parse(this.#text("plan")!) as RunPlan;
    const end = this.#text("end");
    this.end = end === undefined ? undefined : (JSON.parse(end) as RunEnd);
    db.exec(
      "create index if not exists operation_key on operation (key, write); create index if not exists operation_id on operation (id)",
    );
  }

  /** Every key with its operations, sorted by key, oldest operation first. */
  *keys(): Iterable<KeyHistory> {
    const rows = this.#db
      .prepare(
        "select o.key, o.write, o.kind, w.outcome, o.rows, o.id from operation o join write w on w.id = o.write order by o.key, o.write",
      )
      .iterate() as unknown as Iterable<LedgerOperation & { key: string }>;
    let current: { key: string; operations: LedgerOperation[] } | undefined;
    for (const { key, ...operation } of rows) {
      if (current?.key !== key) {
        if (current) yield current;
        current = { key, operations: [] };
      }
      current.operations.push(operation);
    }
    if (current) yield current;
  }

  /** Whether the ledger has seen this id given to another key. */
  idTaken(id: string, key: string): boolean {
    return this.#db.prepare("select 1 from operation where id = ? and key <> ? limit 1").get(id, key) !== undefined;
  }

  /** Ids that acknowledged inserts were given more than once, deleted rows included. */
  duplicateIds(): { id: string; times: number }[] {
    const sql = "select id, count(*) as times from operation where id is not null group by id having count(*) > 1 order by id";
    return this.#db.prepare(sql).all() as unknown as { id: string; times: number }[];
  }

  outcomes(): Record<Outcome, number> {
    return { ...{ pending: 0, acknowledged: 0, failed: 0, refused: 0, unknown: 0 }, ...this.#counts("write") };
  }

  readOutcomes(): Record<ReadOutcome, number> {
    const none = { fresh: 0, stale: 0, unseen: 0, error: 0, "probe-refused": 0, "probe-accepted": 0, "probe-error": 0 };
    return { ...none, ...this.#counts("read") };
  }

  /** How far behind the stalest read was, ms. */
  stalest(): number {
    return this.#number("select max(behind) as n from read where outcome = 'stale'");
  }

  reconnects(side: "write" | "read"): number {
    return this.#number(`select count(*) as n from reconnect where side = '${side}'`);
  }

  /** The distinct errors of writes or reads with their number, most frequent first, at most 10. */
  errors(table: "write" | "read"): { error: string; times: number }[] {
    const sql = `select error, count(*) as times from ${table} where error is not null and outcome <> 'probe-refused'
      group by error order by times desc, error limit 10`;
    return this.#db.prepare(sql).all() as unknown as { error: string; times: number }[];
  }

  /** When the run ended, as far as is recorded, ms since 1970. */
  ended(): number {
    const last = "select max(t) as n from (select max(coalesce(done, intended)) as t from write union all select max(done) from read)";
    return Math.max(this.end?.ended ?? this.plan.started, this.#number(last));
  }

  /** Writes, latest answer first; those without an answer, and the first that was never started, count as still open at the end. */
  *writes(clients = ALL): Iterable<Finished> {
    const ended = this.ended();
    if (this.end?.overdueSince !== undefined) yield { intended: this.end.overdueSince, done: ended, success: false };
    yield* this.#finished(
      `select intended, coalesce(done, ?) as done, outcome = 'acknowledged' as success from write where ${clients} order by coalesce(done, ?) desc`,
      ended,
      ended,
    );
  }

  *reads(): Iterable<Finished> {
    yield* this.#finished(
      "select intended, done, outcome <> 'error' as success from read where outcome in ('fresh', 'stale', 'unseen', 'error') order by done desc",
    );
  }

  /** Latencies of acknowledged writes, from the intended start. */
  latencies(clients = ALL): Latencies {
    const n = this.#acknowledged(clients);
    const at = this.#db.prepare(
      `select done - intended as ms from write where outcome = 'acknowledged' and ${clients} order by done - intended limit 1 offset ?`,
    );
    const rank = (share: number) => (n === 0 ? 0 : Number(at.get(Math.ceil(share * n) - 1)!.ms));
    return { p50: rank(0.5), p95: rank(0.95), p99: rank(0.99), longest: rank(1) };
  }

  /** Each way by itself; none where all clients took the same. */
  ways(): Way[] {
    const { clients: all, routed = 0, started } = this.plan;
    if (routed === 0 || routed === all) return [];
    const of = (way: Way["way"], clients: number, which: string): Way => {
      const stall = longestStall(this.writes(which), started, this.ended());
      return { way, clients, acknowledged: this.#acknowledged(which), latency: this.latencies(which), stall };
    };
    return [of("router", routed, `client < ${routed}`), of("URL", all - routed, `client >= ${routed}`)];
  }

  timeline(): Second[] {
    const { started } = this.plan;
    const seconds = Array.from({ length: Math.floor((this.ended() - started) / 1000) + 1 }, (_, at): Second => {
      return { at, due: 0, acknowledged: 0, errors: 0, reconnects: 0, slowest: 0, reads: 0, readErrors: 0, marks: [] };
    });
    const each = (sql: string, add: (second: Second, row: Record<string, unknown>) => void) => {
      for (const row of this.#db.prepare(sql.replaceAll("SECOND", `cast((at - ${started}) / 1000 as integer)`)).all()) {
        const second = seconds[Math.max(0, Number(row.second))];
        if (second) add(second, row);
      }
    };
    each("select SECOND as second, count(*) as n from (select intended as at from write) group by 1", (s, { n }) => {
      s.due = Number(n);
    });
    const answered = "(select done as at, done - intended as ms, outcome = 'acknowledged' as ok from write where done is not null)";
    each(
      `select SECOND as second, sum(ok) as ok, sum(not ok) as bad, max(case when ok then ms end) as slowest from ${answered} group by 1`,
      (s, { ok, bad, slowest }) => {
        Object.assign(s, { acknowledged: Number(ok), errors: Number(bad), slowest: Number(slowest ?? 0) });
      },
    );
    const read = "(select done as at, outcome = 'error' as bad from read where outcome in ('fresh', 'stale', 'unseen', 'error'))";
    each(`select SECOND as second, count(*) as n, sum(bad) as bad from ${read} group by 1`, (s, { n, bad }) => {
      Object.assign(s, { reads: Number(n), readErrors: Number(bad) });
    });
    each("select SECOND as second, count(*) as n from reconnect where side = 'write' group by 1", (s, { n }) => {
      s.reconnects = Number(n);
    });
    each("select SECOND as second, text from mark order by at", (s, { text }) => {
      s.marks.push(String(text));
    });
    return seconds;
  }

  *#finished(sql: string, ...parameters: number[]): Iterable<Finished> {
    for (const { intended, done, success } of this.#db.prepare(sql).iterate(...parameters))
      yield { intended: Number(intended), done: Number(done), success: success === 1 };
  }

  #counts(table: "write" | "read"): Record<string, number> {
    const rows = this.#db.prepare(`select outcome, count(*) as n from ${table} group by outcome`).all();
    return Object.fromEntries(rows.map(({ outcome, n }) => [String(outcome), Number(n)]));
  }

  #acknowledged(clients: string): number {
    return this.#number(`select count(*) as n from write where outcome = 'acknowledged' and ${clients}`);
  }

  #number(sql: string): number {
    return Number(this.#db.prepare(sql).get()?.n ?? 0);
  }

  #text(name: "plan" | "end"): string | undefined {
    const row = this.#db.prepare("select value from run where name = ?").get(name);
    return row && String(row.value);
  }
}
