import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Common } from "./contract.ts";
import { type Addresses, spread, threeZones } from "./regions.ts";

export interface NetworkArgs extends Common {
  region: string;
  addresses: Addresses;
  /**
   * A VPC that exists, with private subnets in at least two zones. Its routes, gateways, endpoints and flow logs stay its owner's: hosts
   * there must reach AWS' own services, and peered regions need routes that its owner adds (docs/aws.md).
   */
  existing: { vpcId: string; subnetIds: readonly string[] } | null;
  /**
   * Zones with a NAT gateway of their own: 1 or 3. One serves all zones, for the price of one (about 33 USD a month and 0.045 USD a GB;
   * interface endpoints for the same services would be about 22 USD a month each, seven of them). Without it running hosts go on, and
   * new ones cannot fetch their image.
   */
  gateways: number;
  kmsKeyArn: pulumi.Input<string>;
}

const ZONES = 3;
/** Days that flow logs are kept. */
const RETENTION = 365;

/**
 * A region's VPC: three zones, private subnets for everything, public ones for NAT gateways only, flow logs of what was refused.
 * What a change costs: more gateways re-point routes in place; nothing else can be changed, and no address ever moves.
 */
export class Network extends pulumi.ComponentResource {
  readonly vpcId: pulumi.Output<string>;
  readonly vpcCidr: pulumi.Output<string>;
  readonly privateSubnetIds: readonly pulumi.Output<string>[];
  readonly zones: readonly pulumi.Output<string>[];
  /** Route tables of the private subnets; none where the VPC is not ours. */
  readonly routeTableIds: readonly pulumi.Output<string>[];
  /** Stands when the private subnets have their way out; nothing where the VPC is not ours. */
  readonly wayOut: readonly pulumi.Resource[];

  constructor(name: string, args: NetworkArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Network", name, {}, options);
    const made = args.existing ? this.#adopt(args.existing) : this.#make(args);
    this.vpcId = made.vpcId;
    this.vpcCidr = made.vpcCidr;
    this.privateSubnetIds = made.privateSubnetIds;
    this.zones = made.zones;
    this.routeTableIds = made.routeTableIds;
    this.wayOut = made.wayOut;
    this.registerOutputs({ vpcId: this.vpcId });
  }

  #adopt({ vpcId, subnetIds }: { vpcId: string; subnetIds: readonly string[] }) {
    const child = { parent: this };
    const subnets = subnetIds.map((id) => aws.ec2.getSubnetOutput({ id }, child));
    const zones = pulumi.all(subnets.map(({ availabilityZone }) => availabilityZone)).apply(spread);
    return {
      vpcId: pulumi.output(vpcId),
      vpcCidr: aws.ec2.getVpcOutput({ id: vpcId }, child).cidrBlock,
      privateSubnetIds: subnetIds.map((id) => pulumi.output(id)),
      zones: subnetIds.map((_, i) => zones.apply((names) => names[i]!)),
      routeTableIds: [],
      wayOut: [],
    };
  }

  #make(args: NetworkArgs) {
    const { region, addresses, naming, tags } = args;
    const child = { parent: this };
    const tagged = (part: string) => ({ ...tags(part), Name: naming(part, 128) });
    const vpc = new aws.ec2.Vpc(
      `vpc-${region}`,
      { cidrBlock: addresses.vpc, enableDnsSupport: true, enableDnsHostnames: true, tags: tagged(`vpc-${region}`) },
      child,
    );
    // Adopted and emptied: whoever forgets to name a security group gets one that lets nothing through.
    new aws.ec2.DefaultSecurityGroup(`default-${region}`, { vpcId: vpc.id, tags: tagged(`default-${region}`) }, child);
    const internet = new aws.ec2.InternetGateway(`internet-${region}`, { vpcId: vpc.id, tags: tagged(`internet-${region}`) }, child);

    const available = aws.getAvailabilityZonesOutput(
      { state: "available", filters: [{ name: "opt-in-status", values: ["opt-in-not-required"] }] },
      child,
    ).names;
    const zones = available.apply((names) => threeZones(names, region));
    const subnet = (kind: "private" | "public", i: number) => {
      const part = `${kind}-${i + 1}-${region}`;
      return new aws.ec2.Subnet(
        part,
        {
          vpcId: vpc.id,
          cidrBlock: addresses[kind][i]!,
          availabilityZone: zones.apply((names) => names[i]!),
          mapPublicIpOnLaunch: false,
          tags: tagged(part),
        },
        // A zone that AWS adds later must not move subnets that are there.
        { ...child, ignoreChanges: ["availabilityZone"] },
      );
    };
    const table = (part: string, subnetOf: aws.ec2.Subnet) => {
      const made = new aws.ec2.RouteTable(part, { vpcId: vpc.id, tags: tagged(part) }, child);
      const used = new aws.ec2.RouteTableAssociation(part, { routeTableId: made.id, subnetId: subnetOf.id }, child);
      return { routes: made, used };
    };
    const toAnywhere = "0.0.0.0/0";
    const gateways = Array.from({ length: args.gateways }, (_, i) => {
      const open = subnet("public", i);
      const { routes } = table(`public-${i + 1}-${region}`, open);
      const route = new aws.ec2.Route(
        `public-${i + 1}-${region}`,
        { routeTableId: routes.id, destinationCidrBlock: toAnywhere, gatewayId: internet.id },
        child,
      );
      const part = `nat-${i + 1}-${region}`;
      const address = new aws.ec2.Eip(part, { domain: "vpc", tags: tagged(part) }, child);
      return new aws.ec2.NatGateway(
        part,
        { subnetId: open.id, allocationId: address.id, tags: tagged(part) },
        { ...child, dependsOn: [route] },
      );
    });
    const privates = Array.from({ length: ZONES }, (_, i) => {
      const made = subnet("private", i);
      const { routes, used } = table(`private-${i + 1}-${region}`, made);
      const route = new aws.ec2.Route(
        `private-${i + 1}-${region}`,
        { routeTableId: routes.id, destinationCidrBlock: toAnywhere, natGatewayId: gateways[i % gateways.length]!.id },
        child,
      );
      return { subnet: made, routes, wayOut: [used, route] };
    });
    // Free, and images and backups come and go by it instead of through the metered gateway.
    new aws.ec2.VpcEndpoint(
      `s3-${region}`,
      {
        vpcId: vpc.id,
        serviceName: `com.amazonaws.${region}.s3`,
        vpcEndpointType: "Gateway",
        routeTableIds: privates.map(({ routes }) => routes.id),
        tags: tagged(`s3-${region}`),
      },
      child,
    );
    this.#flowLogs(vpc, args);
    return {
      vpcId: vpc.id,
      vpcCidr: vpc.cidrBlock,
      privateSubnetIds: privates.map(({ subnet: { id } }) => id),
      zones: privates.map(({ subnet: { availabilityZone } }) => availabilityZone),
      routeTableIds: privates.map(({ routes: { id } }) => id),
      wayOut: privates.flatMap(({ wayOut }) => wayOut),
    };
  }

  /** What was refused, and by that who knocked. What passed is metered by the gigabyte, and a database's traffic is large. */
  #flowLogs(vpc: aws.ec2.Vpc, { region, naming, tags, kmsKeyArn }: NetworkArgs): void {
    const child = { parent: this };
    const part = `flow-logs-${region}`;
    const group = new aws.cloudwatch.LogGroup(
      part,
      { name: `/pgladder/${naming(part, 200)}`, retentionInDays: RETENTION, kmsKeyId: kmsKeyArn, tags: tags(part) },
      child,
    );
    const role = new aws.iam.Role(
      part,
      {
        name: naming(part, 64),
        assumeRolePolicy: JSON.stringify({
          Version: "2012-10-17",
          Statement: [{ Effect: "Allow", Principal: { Service: "vpc-flow-logs.amazonaws.com" }, Action: "sts:AssumeRole" }],
        }),
        tags: tags(part),
      },
      child,
    );
    const policy = new aws.iam.RolePolicy(
      part,
      {
        name: naming(part, 128),
        role: role.name,
        policy: group.arn.apply((arn) =>
          JSON.stringify({
            Version: "2012-10-17",
            Statement: [
              {
                Effect: "Allow",
                Action: ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                Resource: `${arn}:*`,
              },
            ],
          }),
        ),
      },
      child,
    );
    new aws.ec2.FlowLog(
      part,
      { vpcId: vpc.id, trafficType: "REJECT", logDestination: group.arn, iamRoleArn: role.arn, tags: tags(part) },
      { ...child, dependsOn: [policy] },
    );
  }
}
