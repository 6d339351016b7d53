/** What the agent's Lambdas are told: everything but secrets, as the event of each invocation. */
import type { Desired } from "./desired.ts";
import { desired } from "./mirror.ts";
import { USERS } from "./pools.ts";
import { patroniDynamic, ROLES } from "./render/patroni.ts";
import { POOLER_ADMIN } from "./render/pgbouncer.ts";
import type { Topology } from "./topology.ts";

/** Commands of the agent on AWS, one function each. */
export const LAMBDA_COMMANDS = ["configure", "migrate", "move", "metrics"] as const;
export type LambdaCommand = (typeof LAMBDA_COMMANDS)[number];

/** Whose passwords a command may read. What it need not know its role is not allowed to ask for. */
export const SECRETS_OF = {
  configure: [ROLES.admin, ROLES.monitor, USERS.write, USERS.read],
  migrate: [ROLES.admin],
  move: [ROLES.admin, ROLES.monitor],
  metrics: [ROLES.monitor, POOLER_ADMIN],
} as const satisfies Record<LambdaCommand, readonly string[]>;

/** One RDS instance. */
export interface ManagedNode {
  readonly name: string;
  /** `DBInstanceIdentifier`. */
  readonly identifier: string;
  readonly role: "primary" | "replica" | "standby";
  /** Host name without port; its certificate bears it. */
  readonly host: string;
}

/** The pooler hosts of a region: found by their group, because they come and go. */
export interface ManagedPooler {
  readonly region: string;
  /** Auto-scaling group. */
  readonly group: string;
  /** The name in the hosts' certificate. */
  readonly host: string;
  /** PgBouncer processes on each; process i is reached at `adminPort + i`. */
  readonly processes: number;
  readonly adminPort: number;
}

/** An invocation. */
export interface LambdaEvent {
  readonly command: LambdaCommand;
  readonly desired: Desired;
  /** The primary first. */
  readonly nodes: readonly ManagedNode[];
  readonly poolers: readonly ManagedPooler[];
  /** PEM of the stack's private authority, which signed the pooler hosts' certificate. */
  readonly authority: string;
  /** ARN in Secrets Manager by role. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** What the agent shall make true where RDS keeps the servers: no Patroni, no cache of our own, and the primary has a name. */
export function managedDesired(topology: Topology, nodes: readonly Pick<ManagedNode, "host" | "role">[], port: number): Desired {
  const base = desired(topology);
  const primary = nodes.find(({ role }) => role === "primary")!;
  const hosts = nodes.map(({ host }) => host);
  return {
    ...base,
    pooler: { host: primary.host, port },
    // Parameters are those of the parameter groups.
    cluster: { nodes: hosts, wanted: hosts, dynamic: patroniDynamic({ parameters: {}, synchronous: false, database: base.database }) },
    cache: null,
  };
}

/** What a command needs of an event: a change of anything else must not run it again. */
export function eventOf(command: LambdaCommand, all: Omit<LambdaEvent, "command">): LambdaEvent {
  const wanted: readonly string[] = SECRETS_OF[command];
  const secrets = Object.fromEntries(Object.entries(all.secrets).filter(([role]) => wanted.includes(role)));
  const measures = command === "metrics";
  return { ...all, command, secrets, poolers: measures ? all.poolers : [], authority: measures ? all.authority : "" };
}
