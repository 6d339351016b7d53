/** What `connect` takes: in code, by environment variable, or the requirement documents' numbers. All problems are reported at once. */
import { type Disk, InputError, type Ms, type Problem } from "../plan/types.ts";

/** Numbers of the pools. In code durations are milliseconds; environment variables are seconds, as the table in docs/guide/client.md says. */
export interface PoolNumbers {
  /** Connections of the write pool. @default 20, PGLADDER_POOL_WRITE_SIZE */
  writeSize: number;
  /** Connections of the read pool. @default 50, PGLADDER_POOL_READ_SIZE */
  readSize: number;
  /** Connections of each pool that stay open when nobody uses them. @default 10, PGLADDER_POOL_MIN */
  min: number;
  /** Connections of each pool beyond its size while there is demand; the idle time-out takes them back. @default 30, PGLADDER_POOL_OVERFLOW */
  overflow: number;
  /** Longest wait for a free connection, ms. @default 30 s, PGLADDER_POOL_CHECKOUT_TIMEOUT */
  checkoutTimeout: Ms;
  /** Longest wait for a new connection to be made, ms. @default 5 s, PGLADDER_POOL_CONNECT_TIMEOUT */
  connectTimeout: Ms;
  /** A connection older than this is never handed out again, ms; 0: no limit. @default 3600 s, PGLADDER_POOL_RECYCLE */
  recycle: Ms;
  /** An unused connection beyond `min` is closed after this, ms; 0: never. @default 300 s, PGLADDER_POOL_IDLE */
  idle: Ms;
  /** A connection is closed at this age as soon as nobody uses it, ms; 0: never. @default 1800 s, PGLADDER_POOL_LIFETIME */
  lifetime: Ms;
  /** A connection that was unused for longer is asked `select 1` before it is handed out, ms; 0: always. @default 1 s, PGLADDER_POOL_CHECK_AFTER */
  checkAfter: Ms;
}

/** Numbers of the read/write split. */
export interface SplitNumbers {
  /** A replica that is further behind gets no reads, ms; 0: its lag is not looked at. @default 10 s, PGLADDER_READ_MAX_LAG */
  maxLag: Ms;
  /** How long a session's read waits for its own writes to reach the replica before it goes to the primary, ms. @default 50 ms, PGLADDER_READ_WAIT */
  readWait: Ms;
}

export interface ConnectOptions extends Partial<PoolNumbers>, Partial<SplitNumbers> {
  /** The stack's `writeUrl`. @default PGLADDER_WRITE_URL */
  writeUrl?: string;
  /** The stack's `readUrl`. @default PGLADDER_READ_URL, else the write URL */
  readUrl?: string;
  /** Shown by PostgreSQL for every connection. @default PGLADDER_APPLICATION_NAME, else `pgladder-client` */
  applicationName?: string;
  /** Where the variables are looked up. @default process.env */
  env?: Readonly<Record<string, string | undefined>>;
}

export interface ClientConfig extends PoolNumbers, SplitNumbers {
  writeUrl: string;
  readUrl: string;
  applicationName: string;
}

type Numbers = PoolNumbers & SplitNumbers;
/** Key, variable, default in the variable's unit, smallest value. */
type Rule = readonly [key: keyof Numbers, variable: string, byDefault: number, least: number];

const COUNTS: readonly Rule[] = [
  ["writeSize", "PGLADDER_POOL_WRITE_SIZE", 20, 1],
  ["readSize", "PGLADDER_POOL_READ_SIZE", 50, 1],
  ["min", "PGLADDER_POOL_MIN", 10, 0],
  ["overflow", "PGLADDER_POOL_OVERFLOW", 30, 0],
];
const SECONDS: readonly Rule[] = [
  ["checkoutTimeout", "PGLADDER_POOL_CHECKOUT_TIMEOUT", 30, 0.001],
  ["connectTimeout", "PGLADDER_POOL_CONNECT_TIMEOUT", 5, 0.001],
  ["recycle", "PGLADDER_POOL_RECYCLE", 3600, 0],
  ["idle", "PGLADDER_POOL_IDLE", 300, 0],
  ["lifetime", "PGLADDER_POOL_LIFETIME", 1800, 0],
  ["checkAfter", "PGLADDER_POOL_CHECK_AFTER", 1, 0],
  ["maxLag", "PGLADDER_READ_MAX_LAG", 10, 0],
  ["readWait", "PGLADDER_READ_WAIT", 0.05, 0],
];
/** Node's timers hold no more. */
const LONGEST = 2_147_483;

/**
 * Code goes before environment, environment before default.
 * @throws InputError with every problem; passwords of the URLs are not in it.
 */
export function readConfig(options: ConnectOptions = {}): ClientConfig {
  const env = options.env ?? process.env;
  const problems: Problem[] = [];
  const numbers: Partial<Record<keyof Numbers, number>> = {};
  const read = ([key, variable, byDefault, least]: Rule, unit: number, fits: (n: number) => boolean, what: string) => {
    const given = options[key];
    const text = env[variable];
    const inCode = given !== undefined;
    const value = inCode ? given / unit : text === undefined || text === "" ? byDefault : Number(text);
    numbers[key] = value * unit;
    if (fits(value) && value >= least) return;
    problems.push({ path: inCode ? key : variable, got: inCode ? given : text, want: what });
  };
  for (const rule of COUNTS) read(rule, 1, (n) => Number.isInteger(n) && n <= 10_000, `a whole number from ${rule[3]} to 10000`);
  for (const rule of SECONDS)
    read(rule, 1000, (n) => n <= LONGEST, `${rule[3] > 0 ? "more than" : "at least"} 0 and at most ${LONGEST} s (${rule[0]} in code: ms)`);

  const writeUrl = options.writeUrl ?? env.PGLADDER_WRITE_URL ?? "";
  const readUrl = options.readUrl ?? (env.PGLADDER_READ_URL || writeUrl);
  problems.push(...urlProblems("writeUrl", writeUrl), ...(readUrl === writeUrl ? [] : urlProblems("readUrl", readUrl)));
  const { min = 0, writeSize = 0, readSize = 0 } = numbers;
  if (min > Math.min(writeSize, readSize))
    problems.push({ path: "min", got: min, want: `at most the smaller pool's size, ${Math.min(writeSize, readSize)}` });
  if (problems.length > 0) throw new InputError("client", problems);
  const applicationName = options.applicationName ?? (env.PGLADDER_APPLICATION_NAME || "pgladder-client");
  return { ...(numbers as Numbers), writeUrl, readUrl, applicationName };
}

function urlProblems(path: "writeUrl" | "readUrl", url: string): Problem[] {
  const fits = URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol);
  if (fits) return [];
  const want = "postgresql://user:password@host:port/database?sslmode=require";
  return [{ path, got: url === "" ? undefined : "a text that is not such a URL", want }];
}

/**
 * Connections that keep a database server busy without making its backends wait for each other: cores × 2 + spindles with spinning disks,
 * cores × 4 with SSDs. It counts what reaches the server: divide it by the number of processes that have a pool, or leave it to the pooler.
 *
 * Source: the scaling guide of the requirements ("Connection Pool Tuning"); the first half is the PostgreSQL project's own rule.
 * @param cores of the database server
 * @param disk its disk, or the number of its spindles
 * @throws InputError when a number is not a whole one.
 */
export function poolSize(cores: number, disk: Exclude<Disk, "hdd"> | number): number {
  const problems: Problem[] = [];
  if (!Number.isInteger(cores) || cores < 1) problems.push({ path: "cores", got: cores, want: "a whole number from 1" });
  if (typeof disk === "number" && (!Number.isInteger(disk) || disk < 0))
    problems.push({ path: "disk", got: disk, want: "ssd, nvme, or a number of spindles" });
  if (problems.length > 0) throw new InputError("poolSize", problems);
  return typeof disk === "number" ? cores * 2 + disk : cores * 4;
}

/** For node-postgres 8, which reads `sslmode=require` as `verify-full`: gives the word libpq's meaning, as every other driver has it. */
export function driverUrl(url: string): string {
  return /[?&]sslmode=/.test(url) && !/[?&]uselibpqcompat=/.test(url) ? `${url}&uselibpqcompat=true` : url;
}

/** Of one pool. */
export interface PoolSettings extends Omit<PoolNumbers, "writeSize" | "readSize"> {
  /** In messages. */
  name: string;
  url: string;
  size: number;
  applicationName: string;
  /** Statements are sent without waiting for the answers of those before. COPY is refused then. */
  pipelined: boolean;
}

export function poolSettings(config: ClientConfig, name: "write" | "read"): PoolSettings {
  const reads = name === "read";
  return {
    ...config,
    name,
    url: reads ? config.readUrl : config.writeUrl,
    size: reads ? config.readSize : config.writeSize,
    pipelined: reads,
  };
}
