import * as pulumi from "@pulumi/pulumi";
import { shardMap, shardParts } from "../plan/shard-map.ts";
import { heldParts, type Login, type Topology, toOutputs } from "../plan/topology.ts";
import type { Target } from "./target.ts";

/** The stack's outputs (DESIGN §1): the same names at every stage and target. They are known when the system works. */
export function outputs(topology: Topology, target: Target): Record<string, unknown> {
  const { host, port, write, read, session } = topology.endpoint;
  const whenReady = <T>(value: pulumi.Input<T>) => pulumi.all([value, target.ready]).apply(([known]) => known);
  const withUrls = <T>(make: (urlOf: (login: Login) => string) => T) =>
    pulumi.secret(
      pulumi
        .all([target.passwords, target.urlOptions, target.ready])
        .apply(([passwords, options]) =>
          make(({ user, database }) => `postgresql://${user}:${passwords[user]}@${host}:${port}/${database}?${options}`),
        ),
    );
  const url = (login: Login) => withUrls((urlOf) => urlOf(login));
  return {
    stage: whenReady(topology.stage),
    writeUrl: url(write),
    readUrl: url(read),
    sessionUrl: url(session),
    cacheUrl: pulumi.secret(target.cacheUrl),
    shardMap: shardParts(topology).length === 0 ? whenReady({}) : withUrls((urlOf) => shardMap(topology, urlOf)),
    caCertificate: target.caCertificate,
    held: whenReady(heldParts(topology)),
    topology: whenReady(toOutputs(topology)),
    dashboardUrl: target.dashboardUrl,
  };
}
