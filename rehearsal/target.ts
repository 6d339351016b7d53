/** Where a rehearsal may send its load, and how its connections are made. */
import { BlockList, isIP } from "node:net";
import pg from "pg";
import type { Problem } from "../plan/types.ts";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8);
LOOPBACK.addAddress("::1", "ipv6");

const PRIVATE = new BlockList();
PRIVATE.addSubnet("10.0.0.0", 8);
PRIVATE.addSubnet("172.16.0.0", 12);
PRIVATE.addSubnet("192.168.0.0", 16);
PRIVATE.addSubnet("fc00::", 7, "ipv6");

const within = (list: BlockList, host: string) => isIP(host) > 0 && list.check(host, isIP(host) === 6 ? "ipv6" : "ipv4");

/**
 * A rehearsal is a load generator: it talks to this machine, and only with `allowPrivate` to private addresses and to Docker's names
 * (a single label, "pooler"). The host is the one that the driver would use, so a `host=` in the query is seen.
 * @param path the option that holds the URL; its password never appears in a problem.
 */
export function checkTarget(path: string, url: string, allowPrivate: boolean): Problem[] {
  let host: string;
  try {
    host = new pg.Client(clientConfig(url)).host;
  } catch {
    return [{ path, got: "a text that is not a URL", want: "postgresql://user:password@host:port/database?sslmode=require" }];
  }
  if (host === "localhost" || within(LOOPBACK, host)) return [];
  if (!allowPrivate) return [{ path, got: host, want: "a host on this machine (127.0.0.1 or localhost)" }];
  if (within(PRIVATE, host) || /^[a-z0-9][a-z0-9_-]*$/i.test(host)) return [];
  return [{ path, got: host, want: "a host on this machine, a private address or a Docker name" }];
}

/**
 * Connection settings for a URL as the stack prints it. node-postgres 8 reads `sslmode=require` as `verify-full` and then knows no private
 * CA; `uselibpqcompat=true` gives the word libpq's meaning (encrypted, and verified when the URL names a `sslrootcert`). libpq itself refuses
 * that word, so it is added here and not printed.
 */
export function clientConfig(url: string): pg.ClientConfig {
  const compatible = /[?&]sslmode=/.test(url) && !/[?&]uselibpqcompat=/.test(url);
  return {
    connectionString: compatible ? `${url}&uselibpqcompat=true` : url,
    connectionTimeoutMillis: 10_000,
    query_timeout: 60_000,
    keepAlive: true,
    application_name: "pgladder-rehearsal",
  };
}
