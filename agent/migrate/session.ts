/** The connection that migrates: its settings, the lock that lets one run at a time, who holds a lock that was waited for. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { InputError, type Ms } from "../../plan/types.ts";
import type { MigrationSet } from "./ledger.ts";

/** Advisory lock of a migration run: "ladd" in ASCII, 1. Taken in the database that is migrated. */
const RUN_LOCK = [0x6c616464, 1] as const;
const POLL: Ms = 250 as Ms;

/**
 * Settings every file starts with, whatever an earlier one has set. The server looks whether the client is still there, so that a run
 * that was killed in the middle of a long statement gives up its locks. A statement of the application that policies would keep from some
 * of the rows fails, instead of leaving them out. The platform's own obey policies: pg_cron shows its jobs by one.
 */
export async function freshSettings(client: Client, lockTimeout: Ms, set: MigrationSet): Promise<void> {
  await client.query(`
    reset role; reset all;
    set lock_timeout = ${lockTimeout};
    set statement_timeout = 0;
    set idle_in_transaction_session_timeout = 0;
    set idle_session_timeout = 0;
    set client_connection_check_interval = 1000;
    set client_min_messages = warning;
    set row_security = ${set === "platform" ? "on" : "off"};
    set search_path = public;
    select set_config('transaction_timeout', '0', false) where current_setting('server_version_num')::int >= 170000`);
}

async function holderOfRun(client: Client): Promise<string> {
  const { rows } = await client.query<{ holder: string }>(
    `select format('pid %s, %s, since %s', a.pid, coalesce(nullif(a.application_name, ''), a.usename), a.backend_start::timestamptz(0)) as holder
     from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and l.classid = $1::bigint::oid and l.objid = $2::int::oid
       and l.database = (select oid from pg_database where datname = current_database())`,
    [...RUN_LOCK],
  );
  return rows[0]?.holder ?? "a run that has just ended";
}

/**
 * Waits until no other run is at work in this database, then holds the lock until the connection ends. Polls, because a session that
 * waits inside pg_advisory_lock keeps a snapshot, and CREATE INDEX CONCURRENTLY in the other run would wait for it for ever.
 * @throws InputError after `wait`, naming who holds the lock.
 */
export async function takeRunLock(client: Client, wait: Ms, log: (line: string) => void): Promise<void> {
  const until = performance.now() + wait;
  for (let told = false; ; told = true) {
    const { rows } = await client.query<{ got: boolean }>("select pg_try_advisory_lock($1::int, $2::int) as got", [...RUN_LOCK]);
    if (rows[0]?.got) return;
    const holder = await holderOfRun(client);
    if (performance.now() >= until)
      throw new InputError("migrations", [{ path: "lock", got: `held for ${wait} ms by ${holder}`, want: "one run at a time" }]);
    if (!told) log(`another run is migrating this database (${holder}): waiting`);
    await sleep(POLL);
  }
}

/** @throws InputError when the server cannot be written to. */
export async function refuseReadOnly(client: Client): Promise<void> {
  const { rows } = await client.query<{ standby: boolean }>("select pg_is_in_recovery() as standby");
  if (rows[0]?.standby) throw new InputError("migrations", [{ path: "connection", got: "a standby", want: "the primary" }]);
}

export interface RelationName {
  schema: string | undefined;
  name: string;
}

/** The sessions that hold locks on relations right now, oldest transaction first, one line each. */
export async function lockHolders(client: Client, relations: readonly RelationName[]): Promise<string[]> {
  const names = relations.map(({ schema, name }) => [schema ?? "public", name]);
  const { rows } = await client.query<{ line: string }>(
    `select distinct format('%s is locked by pid %s (%s, %s, in a transaction since %s s): %s', c.oid::regclass, a.pid,
         coalesce(nullif(a.application_name, ''), a.usename), a.state, extract(epoch from clock_timestamp() - a.xact_start)::int,
         left(regexp_replace(a.query, '\\s+', ' ', 'g'), 80)) as line, a.xact_start
     from json_array_elements($1::json) n
     join pg_class c on c.oid = to_regclass(format('%I.%I', n ->> 0, n ->> 1))
     join pg_locks l on l.relation = c.oid and l.granted and l.pid <> pg_backend_pid()
     join pg_stat_activity a on a.pid = l.pid
     order by a.xact_start, line limit 5`,
    [JSON.stringify(names)],
  );
  return rows.map((row) => row.line);
}
