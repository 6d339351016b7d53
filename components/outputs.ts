import * as pulumi from "@pulumi/pulumi";
import { heldParts, type Login, type Topology, toOutputs } from "../plan/topology.ts";
import type { Target } from "./target.ts";

/** The stack's outputs (DESIGN §1): the same names at every stage and target. They are known when the system works. */
export function outputs(topology: Topology, target: Target): Record<string, unknown> {
  const { host, port, write, read, session } = topology.endpoint;
  const whenReady = <T>(value: pulumi.Input<T>) => pulumi.all([value, target.ready]).apply(([known]) => known);
  const url = ({ user, database }: Login) =>
    pulumi.secret(
      pulumi
        .all([target.passwords, target.urlOptions, target.ready])
        .apply(([passwords, options]) => `postgresql://${user}:${passwords[user]}@${host}:${port}/${database}?${options}`),
    );
  return {
    stage: whenReady(topology.stage),
    writeUrl: url(write),
    readUrl: url(read),
    sessionUrl: url(session),
    cacheUrl: pulumi.secret(target.cacheUrl),
    shardMap: whenReady({}),
    caCertificate: target.caCertificate,
    held: whenReady(heldParts(topology)),
    topology: whenReady(toOutputs(topology)),
    dashboardUrl: target.dashboardUrl,
  };
}
