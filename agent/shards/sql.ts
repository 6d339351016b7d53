/** Pieces of SQL that several parts of a move need. */
import pg from "pg";
import type { KeyType } from "../../client/shards/bucket.ts";
import type { ShardClass } from "../../plan/shards.ts";
import type { Fleet, GlobalTable, Server, ShardedTable } from "./types.ts";

/** PostgreSQL's HASH_PARTITION_SEED (src/backend/partitioning/partbounds.c). */
const SEED = "8816678312871386365";
/** Low ten bits of what hash_combine64 adds to the hash of a key's only column: 5305509591434766563. */
const COMBINE = 227;

const HASH: Record<KeyType, (key: string) => string> = {
  bigint: (key) => `hashint8extended(${key}, ${SEED})`,
  integer: (key) => `hashint8extended(${key}::bigint, ${SEED})`,
  uuid: (key) => `uuid_hash_extended(${key}, ${SEED})`,
  text: (key) => `hashtextextended(${key}, ${SEED})`,
};

/** The bucket of a key as an expression, 0 to buckets − 1: PostgreSQL's own hash partition of it. */
export const bucketExpression = ({ key, keyType }: Pick<ShardedTable, "key" | "keyType">, buckets: number): string =>
  `(((${HASH[keyType](pg.escapeIdentifier(key))} & 1023) + ${COMBINE}) & ${buckets - 1})`;

/** True for the rows of a class. */
export const classCondition = (table: Pick<ShardedTable, "key" | "keyType">, { modulus, remainder }: ShardClass): string =>
  `${bucketExpression(table, modulus)} = ${remainder}`;

export const qualified = ({ schema, table }: GlobalTable, inSchema = schema): string =>
  `${pg.escapeIdentifier(inSchema)}.${pg.escapeIdentifier(table)}`;

/** A libpq connection string to the primary among a server's nodes; a value with its quotes. */
export function connectionString({ hosts }: Server, { database, rootCertificate, passwords }: Fleet): string {
  const value = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const parts: Record<string, string> = {
    host: hosts.join(","),
    port: "5432",
    dbname: database,
    user: "ladder_replication",
    password: passwords.replication,
    target_session_attrs: "read-write",
    connect_timeout: "3",
    ...(rootCertificate === null ? { sslmode: "prefer" } : { sslmode: "verify-full", sslrootcert: rootCertificate }),
  };
  return Object.entries(parts)
    .map(([name, text]) => `${name}=${value(text)}`)
    .join(" ");
}
