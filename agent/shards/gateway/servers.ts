/** Foreign servers on the gateway, one for each shard's primary and one for its replicas, and who is who on them. */
import pg from "pg";
import { unseen } from "../../unseen.ts";
import type { Fleet, Shard } from "../types.ts";
import { READ, type Side, serverName } from "./names.ts";

const quote = pg.escapeIdentifier;
const literal = pg.escapeLiteral;

/** Rows in a batch of an insert, and in a fetch: measured in docs/guide/gateway.md. */
const BATCH = 100;
const FETCH = 1_000;

type Options = Readonly<Record<string, string>>;

const serverOptions = ({ hosts }: Shard, { database, rootCertificate }: Fleet, side: Side): Options => ({
  host: hosts.join(","),
  port: "5432",
  dbname: database,
  target_session_attrs: side === "write" ? "primary" : "prefer-standby",
  ...(side === "read" ? { load_balance_hosts: "random" } : {}),
  ...(rootCertificate === null ? {} : { sslmode: "verify-full", sslrootcert: rootCertificate }),
  application_name: "ladder_gateway",
  connect_timeout: "3",
  keepalives_idle: "10",
  keepalives_interval: "5",
  keepalives_count: "3",
  tcp_user_timeout: "20000",
  async_capable: "true",
  parallel_commit: "true",
  parallel_abort: "true",
  batch_size: String(BATCH),
  fetch_size: String(FETCH),
  // Without it no join looks up rows by key on the shards: it fetches them all.
  use_remote_estimate: "true",
});

/** `options (set a '1', add b '2', drop c)`; undefined where nothing differs: an ALTER makes every session connect anew. */
function changed(present: readonly string[], wanted: Options): string | undefined {
  const had = new Map(present.map((option) => [option.slice(0, option.indexOf("=")), option.slice(option.indexOf("=") + 1)]));
  const parts = [
    ...Object.entries(wanted)
      .filter(([name, value]) => had.get(name) !== value)
      .map(([name, value]) => `${had.has(name) ? "set" : "add"} ${quote(name)} ${literal(value)}`),
    ...[...had.keys()].filter((name) => !(name in wanted)).map((name) => `drop ${quote(name)}`),
  ];
  return parts.length === 0 ? undefined : `options (${parts.join(", ")})`;
}

const listed = (options: Options): string =>
  `options (${Object.entries(options)
    .map(([name, value]) => `${quote(name)} ${literal(value)}`)
    .join(", ")})`;

interface PresentServer {
  name: string;
  options: string[];
  mappings: { role: string; options: string[] | null }[];
  used: boolean;
}

async function presentServers(gateway: pg.Client): Promise<PresentServer[]> {
  const { rows } = await gateway.query<PresentServer>(
    `select s.srvname as name, coalesce(s.srvoptions, '{}') as options,
        coalesce((select json_agg(json_build_object('role', m.usename, 'options', m.umoptions)) from pg_user_mappings m where m.srvid = s.oid), '[]') as mappings,
        exists (select from pg_foreign_table where ftserver = s.oid) as used
       from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw
      where w.fdwname = 'postgres_fdw' and s.srvname ~ '^shard_[0-9]+(_read)?$'`,
  );
  return rows;
}

/**
 * Makes the gateway's servers those of the fleet: what differs is altered, what no shard and no table needs is dropped. Who reads and writes is
 * decided on the gateway: everybody, now and later, comes to the shards as ladder_gateway, app_ro and the replicas' servers as ladder_gateway_ro.
 * No role may use the servers in a table of its own, which also hides the passwords. Repeatable.
 */
export async function settleServers(gateway: pg.Client, fleet: Fleet): Promise<void> {
  const present = await presentServers(gateway);
  const wanted = fleet.shards.flatMap((shard) =>
    (["write", "read"] as const).map((side) => ({ name: serverName(shard.index, side), options: serverOptions(shard, fleet, side), side })),
  );
  const statements = wanted.flatMap(({ name, options, side }) => {
    const old = present.find((server) => server.name === name);
    const change = old && changed(old.options, options);
    return [
      ...(old ? [] : [`create server ${name} foreign data wrapper postgres_fdw ${listed(options)}`]),
      ...(change === undefined ? [] : [`alter server ${name} ${change}`]),
      ...mappingStatements(name, side, old?.mappings ?? [], fleet),
    ];
  });
  const left = present.filter(({ name, used }) => !used && !wanted.some((server) => server.name === name));
  statements.push(...left.map(({ name }) => `drop server ${name} cascade`));
  for (const statement of statements) await unseen(gateway, statement);
  if (statements.length > 0) fleet.log(`gateway: ${wanted.length} servers settled`);
}

function mappingStatements(server: string, side: Side, present: PresentServer["mappings"], { passwords }: Fleet): string[] {
  const writer = { user: "ladder_gateway", password: passwords.gateway };
  const reader = { user: "ladder_gateway_ro", password: passwords.gatewayRead };
  const wanted: [string, Options][] =
    side === "read"
      ? [["public", reader]]
      : [
          ["public", writer],
          ["app_ro", reader],
        ];
  return wanted.flatMap(([role, options]) => {
    const old = present.find((mapping) => mapping.role === role);
    if (!old) return [`create user mapping for ${role} server ${server} ${listed(options)}`];
    // A managed server's master user does not see the options of others.
    const change =
      old.options === null
        ? `options (set user ${literal(options.user!)}, set password ${literal(options.password!)})`
        : changed(old.options, options);
    return change === undefined ? [] : [`alter user mapping for ${role} server ${server} ${change}`];
  });
}

/** Drops the servers; fails while a tree uses one. */
export async function dropServers(gateway: pg.Client): Promise<void> {
  for (const { name } of await presentServers(gateway)) {
    await gateway.query(
      `drop user mapping if exists for public server ${name}; drop user mapping if exists for app_ro server ${name}; drop server ${name}`,
    );
  }
}

/**
 * What sessions of the application begin with after the flip: aggregates and joins by shard key are the shards' work, and app_ro's unqualified names
 * are found in the trees over the replicas. Sessions that are there already go on as they are.
 */
export async function settleSessions(gateway: pg.Client, { database }: Fleet, flipped: boolean): Promise<void> {
  const settings: [string, string, string][] = [
    ["app_ro", "search_path", `${READ}, "$user", public`],
    ...["app", "app_ro"].flatMap((role): [string, string, string][] => [
      [role, "enable_partitionwise_aggregate", "on"],
      [role, "enable_partitionwise_join", "on"],
    ]),
  ];
  for (const [role, name, value] of settings)
    await gateway.query(`alter role ${role} in database ${quote(database)} ${flipped ? `set ${name} = ${value}` : `reset ${name}`}`);
}
