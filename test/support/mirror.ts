/** Topologies and files of the docker target for tests, with passwords and certificates that say whose they are. */
import { type MirrorFile, mirrorFiles } from "../../plan/mirror.ts";
import { CACHE_USERS } from "../../plan/render/valkey.ts";
import { plan, type Topology } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { type Given, parse } from "./config.ts";

/** A host on which no stage's machines are cut. */
const HOST = { cores: 8, memory: gib(64) };

export const topologyOf = (given: Given): Topology => plan(parse(given), undefined, HOST);

export const SECRET_ROLES = [
  "ladder_admin",
  "ladder_replication",
  "ladder_rewind",
  "ladder_agent",
  "ladder_monitor",
  "ladder_gateway",
  "ladder_gateway_ro",
  "app",
  "app_ro",
];
export const CACHE_ROLES: readonly string[] = Object.values(CACHE_USERS).map(({ role }) => role);
export const digestOf = (role: string): string => `digest-of-${role}`;
export const passwordOf = (role: string): string => `password-of-${role}`;

export const filesOf = (topology: Topology): MirrorFile[] => {
  const parts = [...topology.consensus, ...topology.nodes, ...topology.cache, ...topology.poolers, topology.agent].map(({ name }) => name);
  return mirrorFiles(topology, {
    ca: "authority\n",
    identities: Object.fromEntries(parts.map((part) => [part, { certificate: `certificate of ${part}\n`, key: `key of ${part}\n` }])),
    passwords: Object.fromEntries([...SECRET_ROLES, ...CACHE_ROLES].map((role) => [role, passwordOf(role)])),
    digests: Object.fromEntries(CACHE_ROLES.map((role) => [role, digestOf(role)])),
  });
};

export const contentOf = (topology: Topology, path: string): string => {
  const file = filesOf(topology).find((each) => each.path === path);
  if (!file) throw new Error(`${path}: got no such file`);
  return file.content;
};
