/** VPC, subnets, security groups, private names. */
import { argument, companion, isGiven, list, ofKind } from "../read.ts";
import type { Recorded, Rule } from "../types.ts";

const INGRESS = "vpc.SecurityGroupIngressRule";
const EGRESS = "vpc.SecurityGroupEgressRule";
const GROUP = "ec2.SecurityGroup";

const toWorld = ({ inputs }: Recorded): boolean => inputs.cidrIpv4 === "0.0.0.0/0" || inputs.cidrIpv6 === "::/0";
const anyone = (value: unknown): boolean => value === "0.0.0.0/0" || value === "::/0";
const HTTPS = 443;
const POSTGRES = 5432;
/** Ports of a rule at most: 64 admin ports of pooler processes are the most that the target opens. */
const WIDEST = 64;

const ofVpc = (other: Recorded, vpc: Recorded): boolean => vpc.id !== undefined && other.inputs.vpcId === vpc.id;

const isWorn = (group: unknown, all: readonly Recorded[]): boolean =>
  ofKind(all, "rds.Instance").some(({ inputs }) => list(inputs.vpcSecurityGroupIds).includes(group));

export const NETWORK: readonly Rule[] = [
  companion("vpc-flow-logs", ["EC2.6", "CKV2_AWS_11", "CIS AWS 3.7"], "ec2.Vpc", "ec2.FlowLog", "a flow log", ofVpc),
  companion(
    "vpc-default-group",
    ["EC2.2", "CKV2_AWS_12", "CIS AWS 5.4"],
    "ec2.Vpc",
    "ec2.DefaultSecurityGroup",
    "a default security group that lets nothing through",
    (group, vpc) => ofVpc(group, vpc) && list(group.inputs.ingress).length === 0 && list(group.inputs.egress).length === 0,
  ),
  argument(
    "subnet-no-public-addresses",
    ["EC2.15", "CKV_AWS_130"],
    "ec2.Subnet",
    "mapPublicIpOnLaunch",
    "false",
    (value) => value !== true,
  ),
  argument(
    "ingress-from-somewhere",
    ["EC2.18", "EC2.53", "EC2.54", "CKV_AWS_24", "CKV_AWS_25", "CKV_AWS_260", "CIS AWS 5.2"],
    INGRESS,
    "cidrIpv4",
    "not the whole internet",
    (_, rule) => !toWorld(rule),
  ),
  argument(
    "ingress-ports",
    ["CKV_AWS_277"],
    INGRESS,
    "ipProtocol",
    `one protocol and at most ${WIDEST} ports`,
    (protocol, { inputs }) => isGiven(protocol) && protocol !== "-1" && Number(inputs.toPort) - Number(inputs.fromPort) < WIDEST,
  ),
  argument(
    "egress-to-somewhere",
    ["CKV_AWS_382"],
    EGRESS,
    "ipProtocol",
    `to the whole internet by port ${HTTPS} only`,
    (protocol, rule) => !toWorld(rule) || (protocol === "tcp" && rule.inputs.fromPort === HTTPS && rule.inputs.toPort === HTTPS),
  ),
  {
    id: "database-talks-to-databases",
    from: ["EC2.19", "least privilege"],
    on: [EGRESS],
    path: "toPort",
    want: `to servers' port ${POSTGRES} only, from what a database wears`,
    check: ({ inputs }, all) =>
      isWorn(inputs.securityGroupId, all) && (inputs.fromPort !== POSTGRES || inputs.toPort !== POSTGRES)
        ? [{ path: "toPort", got: inputs.toPort }]
        : [],
  },
  argument("security-described", ["CKV_AWS_23"], [GROUP, INGRESS, EGRESS], "description", "a description", isGiven),
  {
    id: "security-rules-apart",
    from: ["AWS: inline rules undo rules of their own"],
    on: [GROUP],
    want: "no rules inside the group",
    check: ({ inputs }) =>
      (["ingress", "egress"] as const).flatMap((path) => (list(inputs[path]).length === 0 ? [] : [{ path, got: inputs[path] }])),
  },
  argument(
    "peering-accepted-by-us",
    ["AWS: refused across regions"],
    "ec2.VpcPeeringConnection",
    "autoAccept",
    "false: the other side accepts",
    (value) => value !== true,
  ),
  argument("zone-private", ["EC2.18"], "route53.Zone", "vpcs", "VPCs that it belongs to", (vpcs) => list(vpcs).length > 0),
  argument(
    "route-not-into-world",
    ["RDS.46"],
    "ec2.Route",
    "destinationCidrBlock",
    "the internet by one gateway, or peered addresses",
    (to, { inputs }) => !anyone(to) || [inputs.gatewayId, inputs.natGatewayId].filter(isGiven).length === 1,
  ),
];
