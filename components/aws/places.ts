import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import type { Topology } from "../../plan/topology.ts";
import type { Common, Place } from "./contract.ts";
import { Keys } from "./keys.ts";
import { Network } from "./network.ts";
import { Peering, type Side } from "./peering.ts";
import { addressesOf, partitionOf } from "./regions.ts";
import { Security } from "./security.ts";

export interface PlacesArgs extends Common {
  topology: Topology;
  /** What exists in the home region; null makes it new. */
  existing: { vpc: { vpcId: string; subnetIds: readonly string[] } | null; kmsKeyArn: string | null };
  /** Zones with a NAT gateway of their own, 1 or 3. */
  gateways: number;
}

/** The regions of the stack by name, home first: those of the configuration, and those that only held nodes are in. */
export function makePlaces(args: PlacesArgs, parent: pulumi.Resource): Readonly<Record<string, Place>> {
  const { topology, existing, gateways } = args;
  const home = topology.regions[0];
  const regions = [...new Set([...topology.regions, ...topology.nodes.map(({ region }) => region)])];
  const providers = Object.fromEntries(regions.map((region) => [region, new aws.Provider(`aws-${region}`, { region }, { parent })]));
  const accountId = aws.getCallerIdentityOutput({}, { parent, provider: providers[home]! }).accountId;

  const built = regions.map((region) => {
    const provider = providers[region]!;
    const at = { parent, provider };
    const isHome = region === home;
    const partition = partitionOf(region);
    const common = { ...args, protect: args.protect && isKept(region, topology) };
    const key = new Keys(`keys-${region}`, { ...common, region, partition, accountId, existing: isHome ? existing.kmsKeyArn : null }, at);
    const network = new Network(
      `network-${region}`,
      {
        ...common,
        region,
        addresses: addressesOf(region, args.stack),
        existing: isHome ? existing.vpc : null,
        gateways,
        kmsKeyArn: key.arn,
      },
      at,
    );
    return { region, isHome, provider, partition, key, network, protect: common.protect };
  });

  const homeSide = built[0]!;
  const away = built.slice(1);
  for (const side of away) new Peering(`peering-${side.region}`, { ...args, home: homeSide, away: side }, { parent });
  const cidrs = (sides: readonly Side[]) => Object.fromEntries(sides.map(({ region, network }) => [region, network.vpcCidr]));
  const entries = built.map(({ region, isHome, provider, partition, key, network, protect }): [string, Place] => {
    const security = new Security(
      `security-${region}`,
      {
        ...args,
        region,
        home: isHome,
        vpcId: network.vpcId,
        vpcCidr: network.vpcCidr,
        clientPort: topology.port,
        between: topology.clusters.some(({ kind }) => kind === "shard"),
        peers: cidrs(isHome ? away : [homeSide]),
      },
      { parent, provider },
    );
    return [
      region,
      {
        region,
        partition,
        home: isHome,
        protect,
        provider,
        accountId,
        vpcId: network.vpcId,
        vpcCidr: network.vpcCidr,
        privateSubnetIds: network.privateSubnetIds,
        wayOut: network.wayOut,
        zones: network.zones,
        securityGroups: security.groups,
        kmsKeyArn: key.arn,
      },
    ];
  });
  return Object.fromEntries(entries);
}

/** A region is kept while the configuration names it or a node there is held; what was let go may be deleted in the next `up`. */
const isKept = (region: string, { regions, nodes }: Topology): boolean =>
  regions.includes(region) || nodes.some((node) => node.region === region && node.held !== "unprotected");
