/** Where a rule does not hold, and why that is right. An exception that covers nothing any more fails a test. */
import { isTrue, ofKind } from "./read.ts";
import { isNearReplica, isReplica } from "./rules/database.ts";
import type { Exception, Recorded } from "./types.ts";

const always = () => true;

/** Functions that an `up` runs and waits for. */
const runsInUp = ({ inputs }: Recorded, all: readonly Recorded[]): boolean =>
  ofKind(all, "lambda.Invocation").some((invocation) => invocation.inputs.functionName === inputs.name);

export const EXCEPTIONS: readonly Exception[] = [
  {
    rule: "rds-port",
    covers: always,
    reason: "only poolers and the agent reach it, by their security groups; another port would hide nothing and surprise every tool",
  },
  {
    rule: "rds-multi-az",
    covers: isReplica,
    reason: "a replica is itself the copy in another zone or region; a second one behind it would be paid for and never read",
  },
  {
    rule: "rds-multi-az",
    covers: (_, all) => ofKind(all, "rds.Instance").length === 1,
    reason: "stage 1 is one node in one zone, the ladder's cheapest rung; it has backups, and stage 2 adds the second zone in place",
  },
  {
    rule: "rds-backed-up",
    covers: isNearReplica,
    reason: "its source in the same region has the backups, and it can be made again from it at any time",
  },
  {
    rule: "secret-rotates",
    covers: always,
    reason:
      "raising pgladder:rotation makes new passwords in the same `up` that tells RDS, poolers and cache: a rotation by a function of Secrets Manager would tell only RDS",
  },
  {
    rule: "balancer-deletion-protected",
    covers: (balancer, all) =>
      ofKind(all, "lb.LoadBalancer").some((other) => other !== balancer && isTrue(other.inputs.enableDeletionProtection)),
    reason:
      "a further region goes in one step with its load balancer, which holds nothing: the name that leads to it is a record of its own",
  },
  {
    rule: "balancer-logs",
    covers: ({ inputs }) => inputs.loadBalancerType === "network",
    reason:
      "a network load balancer logs TLS listeners only, and TLS ends at the poolers: who is connected is in SHOW CLIENTS, who did what in the database's audit log",
  },
  {
    rule: "function-limited",
    covers: (its, all) => runsInUp(its, all) || Number(its.inputs.timeout) < 60,
    reason:
      "runs in an `up`, under an advisory lock, or ends before it starts again: a reservation would only be taken from the account's other functions",
  },
  {
    rule: "function-no-old-events",
    covers: runsInUp,
    reason: "an `up` runs it and waits: there is no queue of events",
  },
  {
    rule: "function-dead-letters",
    covers: always,
    reason:
      "a run that failed leaves nothing to be done later: the next `up`, or the next minute, does the same work; alarm function-errors tells",
  },
  {
    rule: "function-traced",
    covers: always,
    reason: "one function does one thing and logs its steps; X-Ray would add rights and an address outside of the VPC",
  },
  {
    rule: "function-signed",
    covers: always,
    reason: "the machine that runs `up` makes the package, and would have to hold the key that signs it",
  },
  {
    rule: "schedule-key",
    covers: always,
    reason: "its event has host names and ARNs of secrets and no secret, and AWS encrypts it with a key of its own",
  },
];
