import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Common } from "./contract.ts";
import type { Network } from "./network.ts";
import { requireApart } from "./regions.ts";

export interface Side {
  region: string;
  provider: aws.Provider;
  network: Network;
}

export interface PeeringArgs extends Common {
  home: Side;
  away: Side;
}

/**
 * The private way between the home region and a further one, over AWS' own network (billed by the gigabyte between regions).
 * RDS replicates by a way of its own; poolers and the agent need this one. Routes are set in both VPCs where they are ours.
 */
export class Peering extends pulumi.ComponentResource {
  constructor(name: string, { home, away, naming, tags }: PeeringArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Peering", name, {}, options);
    const part = `peering-${away.region}`;
    const tagged = { ...tags(part), Name: naming(part, 128) };
    const at = (side: Side) => ({ parent: this, provider: side.provider });
    const connection = new aws.ec2.VpcPeeringConnection(
      part,
      { vpcId: home.network.vpcId, peerVpcId: apart(home, away), peerRegion: away.region, autoAccept: false, tags: tagged },
      at(home),
    );
    const accepted = new aws.ec2.VpcPeeringConnectionAccepter(
      part,
      { vpcPeeringConnectionId: connection.id, autoAccept: true, tags: tagged },
      at(away),
    );
    for (const [from, to] of [
      [home, away],
      [away, home],
    ] as const)
      for (const [i, routeTableId] of from.network.routeTableIds.entries())
        new aws.ec2.Route(
          `private-${i + 1}-${from.region}-to-${to.region}`,
          { routeTableId, destinationCidrBlock: to.network.vpcCidr, vpcPeeringConnectionId: accepted.vpcPeeringConnectionId },
          at(from),
        );
    this.registerOutputs({});
  }
}

/** The further region's VPC, once its addresses are known to be none of the home VPC's: an existing VPC may have any. */
const apart = (home: Side, away: Side): pulumi.Output<string> =>
  pulumi.all([away.network.vpcId, home.network.vpcCidr, away.network.vpcCidr]).apply(([vpcId, mine, theirs]) => {
    requireApart(mine, theirs, away.region);
    return vpcId;
  });
