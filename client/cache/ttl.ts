/** How long values of each kind may be served from the cache, by the name of their space. */

/** What a space does when its options say nothing else. Durations in ms. */
export interface SpaceDefaults {
  /** The longest that a value is served after it was stored. What is stored expires up to a tenth earlier, so that entries do not expire together. */
  readonly ttl: number;
  /** Whether a process may also keep it in its own memory. */
  readonly local: boolean;
}

const minutes = (n: number): number => n * 60_000;

/**
 * The TTL table of the scaling guide (checklist row K2). `cache.space("profile")` takes its row by name.
 * `unread` is real time: never kept in a process, and a write or an invalidation changes what every process reads next; its minute only
 * bounds how long a count survives whose invalidation was never sent.
 */
export const TTL = {
  profile: { ttl: minutes(5), local: true },
  group: { ttl: minutes(10), local: true },
  ranking: { ttl: minutes(1), local: true },
  unread: { ttl: minutes(1), local: false },
  permission: { ttl: minutes(5), local: true },
} as const satisfies Record<string, SpaceDefaults>;

export type TtlName = keyof typeof TTL;

/** Of spaces with other names. */
export const DEFAULT_SPACE: SpaceDefaults = { ttl: minutes(5), local: true };

/** The row of the table for this name, or what other names get. */
export function defaultsOf(name: string): SpaceDefaults {
  return Object.hasOwn(TTL, name) ? TTL[name as TtlName] : DEFAULT_SPACE;
}
