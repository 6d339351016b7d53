import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { type Common, type Place, PORTS } from "./contract.ts";

export interface DoorArgs extends Common {
  place: Place;
  /** The port that clients connect to. */
  port: number;
  /** The one name that never changes, and the zone that it is in. */
  host: string;
  zoneId: pulumi.Input<string>;
}

/** Seconds between health checks. Two good ones let a host in, two bad ones keep new clients away. */
const CHECK = 5;
const ENOUGH = 2;
/** Seconds in which clients of a host that leaves may finish. */
export const DRAIN = 300;

/**
 * The internal load balancer before a region's pooler hosts, and the name that leads to it.
 * A host that is unhealthy or leaves gets no new clients and keeps those that it has. What a change costs: another port moves the
 * listener and replaces the target group, so clients are cut off; nothing else here can change.
 */
export class Door extends pulumi.ComponentResource {
  readonly targetGroupArn: pulumi.Output<string>;
  /** What CloudWatch wants as dimensions. */
  readonly loadBalancerSuffix: pulumi.Output<string>;
  readonly targetGroupSuffix: pulumi.Output<string>;
  readonly after: readonly pulumi.Resource[];

  constructor(name: string, args: DoorArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Door", name, {}, options);
    const { place, port, host, zoneId, naming, tags } = args;
    const child = { parent: this };
    const part = `door-${place.region}`;
    const balancer = new aws.lb.LoadBalancer(
      part,
      {
        name: naming(part, 32),
        loadBalancerType: "network",
        internal: true,
        // Without a group at creation it could never have one.
        securityGroups: [place.securityGroups.door],
        subnets: onePerZone(place),
        // A zone's address leads to the hosts of all zones: there may be fewer hosts than zones.
        enableCrossZoneLoadBalancing: true,
        // A further region's goes with its region, in one step.
        enableDeletionProtection: place.home && place.protect,
        ipAddressType: "ipv4",
        tags: tags(part),
      },
      child,
    );
    const targets = this.#targets(part, args);
    const listener = new aws.lb.Listener(
      part,
      {
        loadBalancerArn: balancer.arn,
        port,
        protocol: "TCP",
        defaultActions: [{ type: "forward", targetGroupArn: targets.arn }],
        tags: tags(part),
      },
      child,
    );
    const record = new aws.route53.Record(
      part,
      {
        zoneId,
        name: host,
        type: "A",
        aliases: [{ name: balancer.dnsName, zoneId: balancer.zoneId, evaluateTargetHealth: false }],
      },
      child,
    );
    this.targetGroupArn = targets.arn;
    this.loadBalancerSuffix = balancer.arnSuffix;
    this.targetGroupSuffix = targets.arnSuffix;
    this.after = [listener, record];
    this.registerOutputs({});
  }

  #targets(part: string, { place, port, naming, tags }: DoorArgs): aws.lb.TargetGroup {
    return new aws.lb.TargetGroup(
      part,
      {
        // The port is in the name, so that another one can stand beside it until the listener has moved.
        name: naming(`${part}-${port}`, 32),
        targetType: "instance",
        protocol: "TCP",
        port,
        vpcId: place.vpcId,
        healthCheck: {
          enabled: true,
          protocol: "HTTP",
          port: String(PORTS.health),
          path: "/healthy",
          matcher: "200",
          interval: CHECK,
          timeout: CHECK - 1,
          healthyThreshold: ENOUGH,
          unhealthyThreshold: ENOUGH,
        },
        // Two clients behind one address, reaching a host by two zones' addresses, would else be taken for one connection.
        preserveClientIp: "false",
        deregistrationDelay: DRAIN,
        connectionTermination: false,
        // A host that leaves answers that it is unhealthy; its clients are to finish all the same.
        targetHealthStates: [{ enableUnhealthyConnectionTermination: false, unhealthyDrainingInterval: DRAIN }],
        tags: tags(part),
      },
      { parent: this },
    );
  }
}

/** A load balancer takes one subnet of a zone; an existing VPC may have named several. */
const onePerZone = ({ privateSubnetIds, zones }: Place): pulumi.Output<string[]> =>
  pulumi
    .all([pulumi.all([...privateSubnetIds]), pulumi.all([...zones])])
    .apply(([ids, names]) => ids.filter((_, i) => names.indexOf(names[i]!) === i));
