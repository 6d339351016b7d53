/** What openCache and cache.space take, checked; and what all spaces of a cache share. */
import { z } from "zod";
import { InputError } from "../../plan/types.ts";
import type { Counters } from "./figures.ts";
import type { Limit } from "./limit.ts";
import type { Link } from "./link.ts";
import type { Owed } from "./owed.ts";

const ms = (least: number) => z.int().min(least).max(2_147_483_647);
const count = (least: number, most: number) => z.int().min(least).max(most);

const URL_WANT = "redis://, rediss://, valkey:// or valkeys:// with host and port, or an empty text for no cache";
const SCHEMES = ["redis:", "rediss:", "valkey:", "valkeys:"];
const isCacheUrl = (text: string) =>
  text === "" || (URL.canParse(text) && SCHEMES.includes(new URL(text).protocol) && new URL(text).hostname !== "");

const OPTIONS = z.strictObject({
  url: z.string().refine(isCacheUrl, URL_WANT),
  caCertificate: z.string().optional(),
  namespace: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, "letters, digits, dots, underscores and dashes, at most 64"),
  connections: count(1, 64).default(2),
  timeout: ms(1).default(250),
  confirm: ms(1).default(100),
  maxLoads: count(1, 10_000).default(20),
  lease: ms(1).default(10_000),
  intent: ms(100).default(30_000),
  patience: ms(0).default(5000),
  beat: ms(10).default(1000),
  local: z
    .union([
      z.literal(false),
      z.strictObject({ bytes: count(1, 2 ** 40).optional(), ttl: ms(1).optional(), alone: z.boolean().optional() }),
    ])
    .default({}),
  nat: z.record(z.string(), z.strictObject({ host: z.string(), port: count(1, 65_535) })).optional(),
});

/** Durations in ms. */
export interface CacheOptions {
  /** The stack's `cacheUrl`, e.g. `rediss://:password@host:6379`; empty at stages 1 and 2: the same calls then go to the loader. */
  url: string;
  /** PEM of the authority to trust with `rediss://`. @default the file that `?sslrootcert=` names, else the system's */
  caCertificate?: string;
  /** Begins every key. One for each application and format of values. Letters, digits, dots, underscores, dashes. */
  namespace: string;
  /** Connections to each server for reads. One more is for writes, one for messages. @default 2 */
  connections?: number;
  /** Longest wait for the cache's answer. @default 250 */
  timeout?: number;
  /** Longest wait for a replica to confirm an invalidation; what is not confirmed is repeated later. @default 100 */
  confirm?: number;
  /** Loads that this process runs at once, so that a dead cache does not send all readers to the database together. @default 20 */
  maxLoads?: number;
  /** How long a load is waited for by others before the next one tries. Longer than a load takes. @default 10 s */
  lease?: number;
  /** How long a key stays closed when the process writing it was killed. Longer than a killed process's commit may need. @default 30 s */
  intent?: number;
  /** How long a write waits for an earlier, queued write of the same key. @default 5 s */
  patience?: number;
  /** Between two signs that messages arrive. Values of the in-process level are at most three of these older than the cache's. @default 1000 */
  beat?: number;
  /**
   * The in-process level: at most `bytes` for each space (64 MiB), each value at most `ttl` ms (30 s); false: none. Without a cache it is off,
   * since processes cannot tell each other of changes, unless `alone` says that there is one process only.
   */
  local?: false | { bytes?: number; ttl?: number; alone?: boolean };
  /** Where servers are that name themselves by addresses unknown here: `"10.0.0.5:6379": { host, port }`. */
  nat?: Readonly<Record<string, { host: string; port: number }>>;
}

export type CacheSettings = z.output<typeof OPTIONS>;

const SPACE = z.strictObject({
  ttl: ms(0).optional(),
  stale: ms(0).default(0),
  negativeTtl: ms(0).default(0),
  local: z.boolean().optional(),
  lease: ms(1).optional(),
});

export interface SpaceSettings {
  ttl: number;
  stale: number;
  negativeTtl: number;
  local: boolean;
  lease: number;
}

function parse<T extends z.ZodType>(schema: T, what: string, options: unknown): z.output<T> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  const given = (path: PropertyKey[]) =>
    path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], options);
  const problems = result.error.issues.map(({ path, message }) => {
    const at = path.map(String).join(".") || what;
    return { path: at, got: at === "url" ? "a text that is not such a URL" : given(path), want: message };
  });
  throw new InputError(what, problems);
}

/** @throws InputError with every problem; never shows the URL, which holds a password */
export const readOptions = (options: CacheOptions): CacheSettings => parse(OPTIONS, "cache", options);

/** @throws InputError with every problem */
export function readSpace(name: string, options: object, byDefault: { ttl: number; local: boolean; lease: number }): SpaceSettings {
  const problem = { path: "space", got: name, want: "letters, digits, dots, underscores and dashes, at most 64" };
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) throw new InputError("cache", [problem]);
  const { ttl, local, lease, ...rest } = parse(SPACE, `space ${name}`, options);
  return { ttl: ttl ?? byDefault.ttl, local: local ?? byDefault.local, lease: lease ?? byDefault.lease, ...rest };
}

/** Of all spaces of a cache. */
export interface Shared {
  namespace: string;
  link: Link;
  counters: Counters;
  limit: Limit;
  owed: Owed;
  /** No cache at all. */
  /** No cache at all. */
  alone: boolean;
  intent: number;
  patience: number;
  lease: number;
  local: { bytes: number; ttl: number };
  /** Whether values in this process may be used. */
  coherent: () => boolean;
  /** Is waited for by close. */
  background: (work: Promise<void>) => void;
}
