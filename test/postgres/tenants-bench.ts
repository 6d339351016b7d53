/** Tables that are kept apart by tenant, in a database of its own for each test, and ways to ask as one tenant. */
import type { Client } from "pg";
import { afterEach, beforeEach } from "vitest";
import { settleTenants } from "../../agent/tables/tenants.ts";
import { setTenant } from "../../client/tenant.ts";
import { tableConfig } from "../../plan/config/tables.ts";
import type { Desired } from "../../plan/desired.ts";
import { bench } from "../support/migrations.ts";

export const UUID = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"] as const;

const SCHEMA = `
  set role app;
  create sequence notes_id;
  create table notes (id bigint primary key default nextval('notes_id'), tenant_id bigint not null, body text not null default '');
  create index notes_tenant on notes (tenant_id, id);
  create table replies (id bigint primary key, note_id bigint not null references notes (id), tenant_id integer not null);
  create table parts (tenant_id uuid not null, day date not null, x int, primary key (tenant_id, day)) partition by range (day);
  create table parts_1 partition of parts for values from ('2026-01-01') to ('2026-02-01');
  create table named (tenant varchar(40) not null, word text not null);
  create schema shop;
  create table shop.orders (tenant text not null, id smallint);
  create table loose (tenant_id smallint, x int);
  insert into notes (tenant_id, body) select 1 + n % 2, 'note ' || n from generate_series(1, 10) n;
  insert into replies values (1, 1, 2), (2, 2, 1);
  insert into parts values ('${UUID[0]}', '2026-01-01', 1), ('${UUID[1]}', '2026-01-01', 2);
  insert into named values ('a', 'one'), ('b', 'two');
  insert into shop.orders values ('a', 1), ('b', 2);
  reset role`;

export const ALL = { notes: "tenant_id", replies: "tenant_id", parts: "tenant_id", named: "tenant", "shop.orders": "tenant" };

export const here = bench(async (db) => {
  const admin = await db.connect();
  await admin.query("create role service login in role app_rw, ladder_pooled; create role outsider login");
  await admin.query("create role ops login in role ladder_pooled; grant ladder_all_tenants to ops with inherit false, set true");
  await admin.query(SCHEMA);
  await admin.query("grant select on notes to outsider; grant usage on schema public to outsider");
  await settle(admin, ALL);
  await admin.end();
});

export async function settle(client: Client, tenants: Record<string, string>): Promise<string[]> {
  const tables = Object.fromEntries(Object.entries(tenants).map(([name, tenant]) => [name, tableConfig({ tenant })]));
  const log: string[] = [];
  await settleTenants(client, { tables } as unknown as Desired, (line) => log.push(line));
  return log;
}

export let app: Client;
export let admin: Client;
const clients: Client[] = [];
export async function login(role: string): Promise<Client> {
  const client = await here.db.connect(role);
  clients.push(client);
  return client;
}
beforeEach(async () => {
  app = await login("app");
  admin = await login("ladder_admin");
});
afterEach(() => Promise.all(clients.splice(0).map((client) => client.end())));

/** First column of all rows, as a tenant; rolled back afterwards. */
export async function as(client: Client, tenant: string | number | null, sql: string, values: unknown[] = []): Promise<unknown[]> {
  await client.query("begin");
  try {
    if (tenant !== null) await setTenant(client, tenant);
    const result = await client.query<unknown[]>({ text: sql, values, rowMode: "array" });
    return result.rows.map((row) => row[0]);
  } finally {
    await client.query("rollback");
  }
}

export const failure = async (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    (value) => `no error: ${JSON.stringify(value)}`,
    (error: Error) => error.message,
  );

export const VIOLATED = 'new row violates row-level security policy "ladder_tenant" for table "notes"';
