/** The gateway: the old primary, from which tables reach over the shards by hash partitions that are foreign tables. */
export { type Dependent, dependents } from "./dependents.ts";
export { lockNames } from "./follow.ts";
export { regroup } from "./regroup.ts";
export { disownSequences, ownSequences } from "./sequences.ts";
export { dropServers, settleServers } from "./servers.ts";
export { swapIn, swapOut } from "./swap.ts";
export { buildTrees, dropTrees } from "./trees.ts";
export { SHARDS, warmSessions } from "./warm.ts";
