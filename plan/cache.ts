/** The cache's nodes and the ports of 127.0.0.1 that lead to it. */
import type { StackConfig } from "./config.ts";
import { type CacheNode, partName, zoneOf } from "./parts.ts";
import type { Host } from "./topology.ts";
import { type KiB, kib, mib } from "./types.ts";

/** The share of the docker host's memory that all cache nodes may fill with data. */
const CACHE_SHARE = 0.1;
/** Beside its data a node holds buffers and, while it writes its file anew, copies of the pages that change meanwhile. */
const OVERHEAD = 1.5;
const PROCESS = mib(64);

/** Above the pooler's port and those of further regions, which follow it one by one. */
const PORTS_FROM = 1_000;
/** Nodes that a group can have: its primary and at most five copies. */
const NODES_PER_GROUP = 6;
/** Below it 1,000 more still leave room for the ports of 90 groups. */
const HIGHEST_BASE = 60_000;

const ordinals = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

/** The cache's nodes: at most an equal share of a tenth of a docker host's memory for each. */
export function cacheNodes({ profile, target, region }: StackConfig, host: Host): readonly CacheNode[] {
  const { cache } = profile;
  if (!cache) return [];
  const copies = 1 + cache.replicas;
  const share = Math.floor((host.memory * CACHE_SHARE) / (cache.groups * copies) / 1024) * 1024;
  return ordinals(cache.groups).flatMap((group) =>
    ordinals(copies).map(
      (n): CacheNode => ({
        name: partName("cache", group - 1, n),
        group: group - 1,
        role: n === 1 ? "primary" : "replica",
        region,
        zone: zoneOf(group - 1, n),
        memory: target === "docker" ? kib(Math.min(cache.memory, share)) : cache.memory,
        class: target === "aws" ? cache.class : null,
        held: false,
      }),
    ),
  );
}

/** Memory of a cache node's container, in KiB: more than its data, so that it evicts keys and is never killed for its buffers. */
export const cacheContainerMemory = ({ memory }: Pick<CacheNode, "memory">): KiB => kib(Math.ceil(memory * OVERHEAD) + PROCESS);

/** The port of the cache's door, which is in `cacheUrl`: 1,000 above the pooler's, or below it where that is too high. */
export const cacheDoorPort = (port: number): number => (port > HIGHEST_BASE ? port - PORTS_FROM : port + PORTS_FROM);

/**
 * A cache node's own port, the same inside its container and on the host: cluster clients are told it. The ports of a group
 * follow each other after the door's, six a group, so that a node keeps its port whatever comes beside it.
 */
export function cacheNodePort(port: number, { name, group }: Pick<CacheNode, "name" | "group">): number {
  const ordinal = Number(name.slice(name.lastIndexOf("-") + 1));
  return cacheDoorPort(port) + group * NODES_PER_GROUP + ordinal;
}

/** Every node that the first group can ever have, so that the door names them from the start. */
export const foreseenCacheNodes = (port: number): readonly { name: string; port: number }[] =>
  ordinals(NODES_PER_GROUP).map((n) => {
    const name = partName("cache", 0, n);
    return { name, port: cacheNodePort(port, { name, group: 0 }) };
  });
