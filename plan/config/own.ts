const PREFIX = "pgladder:";

/** This project's keys of a stack's whole configuration, without their name space: `pgladder:stage` → `stage`. */
export function ownConfig(all: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => (key.startsWith(PREFIX) ? [[key.slice(PREFIX.length), value]] : [])),
  );
}
