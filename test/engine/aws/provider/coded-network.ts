/** Rules of EC2's network, load balancers and Route 53. */
import { textOf, type Value } from "../../../../offline/bridge/values.ts";
import type { Book, Thing } from "./account.ts";
import {
  amount,
  blocks,
  type Coded,
  type CodedRules,
  check,
  count,
  create,
  given,
  is,
  isNot,
  known,
  type Look,
  open,
  remove,
} from "./coded.ts";
import { type Block, blockOf, contains, hasHostBits, overlaps } from "./formats.ts";
import { subnetsOf } from "./references.ts";

const VPC = "aws:ec2/vpc:Vpc";
const SUBNET = "aws:ec2/subnet:Subnet";
const LB = "aws:lb/loadBalancer:LoadBalancer";
const RECORD = "aws:route53/record:Record";

const block = (value: Value | undefined): Block | undefined => blockOf(known(value) ?? "");
const prefixOutside = (value: Value | undefined) => {
  const found = block(value);
  return found !== undefined && (found.prefix < 16 || found.prefix > 28);
};
const hostBits = (value: Value | undefined) => {
  const found = block(value);
  return found !== undefined && hasHostBits(found);
};
const get = (book: Book, type: string, id: Value | undefined): Thing | undefined =>
  book.things.find((thing) => thing.type === type && thing.id === id);
const others = ({ book, wanted }: Look, type: string, ...same: readonly string[]) =>
  book.things.filter((thing) => thing.type === type && same.every((property) => thing.state[property] === wanted[property]));
const zoneOf = (thing: Thing) => textOf(thing.state.availabilityZone) || textOf(thing.state.availabilityZoneId);
const hasVpcRoute = (book: Book, subnet: Value | undefined): boolean => {
  const tables = book.things.filter(({ type, state }) => type.endsWith(":RouteTableAssociation") && state.subnetId === subnet);
  return book.things.some(
    ({ type, state }) =>
      (type === "aws:ec2/route:Route" &&
        textOf(state.gatewayId).startsWith("igw-") &&
        tables.some((table) => table.state.routeTableId === state.routeTableId)) ||
      (type === "aws:ec2/routeTable:RouteTable" &&
        tables.some((table) => table.state.routeTableId === state.id) &&
        blocks(state.routes).some((route) => textOf(route.gatewayId).startsWith("igw-"))),
  );
};

const RULE_PARTS = [
  "securityGroupId",
  "ipProtocol",
  "fromPort",
  "toPort",
  "cidrIpv4",
  "cidrIpv6",
  "prefixListId",
  "referencedSecurityGroupId",
];
const groupRule = (type: string, inline: "ingress" | "egress"): Readonly<Record<string, Coded>> => ({
  "vsgr-all-no-ports": check((w) => is(w.ipProtocol ?? "", "-1") && (w.fromPort !== undefined || w.toPort !== undefined)),
  "vsgr-ports-needed": check(
    (w) => ["tcp", "udp", "icmp", "icmpv6"].includes(known(w.ipProtocol) ?? "") && (w.fromPort === undefined || w.toPort === undefined),
  ),
  "vsgr-duplicate": create((look) => others(look, type, ...RULE_PARTS).length > 0),
  "vsgr-no-mix": create(({ book, wanted }) =>
    given(get(book, "aws:ec2/securityGroup:SecurityGroup", wanted.securityGroupId)?.state[inline]),
  ),
});

const rules = (value: Value | undefined) => blocks(value);
const listenerProtocols: Readonly<Record<string, readonly string[]>> = {
  application: ["HTTP", "HTTPS"],
  network: ["TCP", "TLS", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC"],
};
const INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule";
const EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule";
const apexOf = ({ book, wanted }: Look) => textOf(get(book, "aws:route53/zone:Zone", wanted.zoneId)?.state.name);

export const NETWORK: CodedRules = {
  [VPC]: {
    "vpc-cidr-size": check((w) => prefixOutside(w.cidrBlock)),
    "vpc-cidr-network-address": check((w) => hostBits(w.cidrBlock), true),
    "vpc-cidr-or-ipam": check((w) => count(w, "cidrBlock", "ipv4IpamPoolId") === 0),
    "vpc-hostnames-need-dns": check((w) => is(w.enableDnsHostnames ?? false, true) && is(w.enableDnsSupport ?? true, false), true),
  },
  [SUBNET]: {
    "subnet-cidr-size": check((w) => prefixOutside(w.cidrBlock)),
    "subnet-cidr-network-address": check((w) => hostBits(w.cidrBlock)),
    "subnet-inside-vpc": create(({ wanted, book }) => {
      const [outer, inner] = [block(get(book, VPC, wanted.vpcId)?.state.cidrBlock), block(wanted.cidrBlock)];
      return outer !== undefined && inner !== undefined && !contains(outer, inner);
    }),
    "subnet-no-overlap": create((look) => {
      const own = block(look.wanted.cidrBlock);
      return others(look, SUBNET, "vpcId").some(({ state }) => {
        const there = block(state.cidrBlock);
        return own !== undefined && there !== undefined && overlaps(own, there);
      });
    }),
  },
  "aws:ec2/routeTable:RouteTable": {
    "rt-route-one-destination": check((w) =>
      rules(w.routes).some((r) => count(r, "cidrBlock", "ipv6CidrBlock", "destinationPrefixListId") !== 1),
    ),
  },
  "aws:ec2/route:Route": {
    "route-gateway-local": check((w) => is(w.gatewayId ?? "", "local")),
    "route-unique-destination": create((look) => others(look, "aws:ec2/route:Route", "routeTableId", "destinationCidrBlock").length > 0),
  },
  "aws:ec2/routeTableAssociation:RouteTableAssociation": {
    "rta-one-per-subnet": create(
      (look) => given(look.wanted.subnetId) && others(look, "aws:ec2/routeTableAssociation:RouteTableAssociation", "subnetId").length > 0,
    ),
  },
  "aws:ec2/internetGateway:InternetGateway": {
    "igw-one-per-vpc": create(
      (look) => given(look.wanted.vpcId) && others(look, "aws:ec2/internetGateway:InternetGateway", "vpcId").length > 0,
    ),
  },
  "aws:ec2/natGateway:NatGateway": {
    "nat-public-needs-eip": check(
      (w) => is(w.connectivityType ?? "public", "public") && !is(w.availabilityMode ?? "", "regional") && !given(w.allocationId),
    ),
    "nat-private-no-eip": check((w) => is(w.connectivityType ?? "", "private") && count(w, "allocationId", "secondaryAllocationIds") > 0),
    "nat-zonal-subnet": check((w) => !is(w.availabilityMode ?? "", "regional") && !given(w.subnetId)),
    "nat-eip-in-use": create(
      (look) => given(look.wanted.allocationId) && others(look, "aws:ec2/natGateway:NatGateway", "allocationId").length > 0,
      true,
    ),
    "nat-public-subnet": create(
      ({ wanted, book }) => is(wanted.connectivityType ?? "public", "public") && !hasVpcRoute(book, wanted.subnetId),
      true,
    ),
  },
  "aws:ec2/securityGroup:SecurityGroup": {
    "sg-description-not-empty": check((w) => is(w.description ?? "x", "")),
    "sg-protocol-all-ports": check((w) =>
      [...rules(w.ingress), ...rules(w.egress)].some((r) => is(r.protocol ?? "", "-1") && (given(r.fromPort) || given(r.toPort))),
    ),
  },
  [INGRESS]: groupRule(INGRESS, "ingress"),
  [EGRESS]: groupRule(EGRESS, "egress"),
  "aws:ec2/vpcEndpoint:VpcEndpoint": {
    "vpce-gateway-only": check((w) => given(w.routeTableIds) && isNot(w.vpcEndpointType ?? "Gateway", "Gateway")),
    "vpce-interface-only": check(
      (w) => is(w.vpcEndpointType ?? "Gateway", "Gateway") && count(w, "subnetIds", "securityGroupIds", "privateDnsEnabled") > 0,
    ),
    "vpce-private-dns-vpc": create(({ wanted, book }) => {
      const state = get(book, VPC, wanted.vpcId)?.state;
      return is(wanted.privateDnsEnabled ?? false, true) && !(state?.enableDnsHostnames === true && state.enableDnsSupport !== false);
    }),
    "vpce-private-dns-conflict": create(
      (look) =>
        is(look.wanted.privateDnsEnabled ?? false, true) &&
        others(look, "aws:ec2/vpcEndpoint:VpcEndpoint", "vpcId", "serviceName").some(({ state }) => state.privateDnsEnabled === true),
      true,
    ),
    "vpce-gateway-services": check(
      (w) => is(w.vpcEndpointType ?? "Gateway", "Gateway") && !/\.(s3|dynamodb)$/.test(known(w.serviceName) ?? ".s3"),
      true,
    ),
  },
  "aws:ec2/flowLog:FlowLog": {
    "fl-traffic-type": check((w) => !given(w.trafficType) && count(w, "eniId", "regionalNatGatewayId", "subnetId", "vpcId") > 0),
    "fl-cwl-role": check((w) => is(w.logDestinationType ?? "cloud-watch-logs", "cloud-watch-logs") && !given(w.iamRoleArn)),
  },
  "aws:ec2/vpcPeeringConnection:VpcPeeringConnection": {
    "pcx-region-auto": check((w) => given(w.peerRegion) && is(w.autoAccept ?? false, true)),
    "pcx-no-overlap": create(({ wanted, book }) => {
      const [own, peer] = [wanted.vpcId, wanted.peerVpcId].map((id) => block(get(book, VPC, id)?.state.cidrBlock));
      return own !== undefined && peer !== undefined && overlaps(own, peer);
    }, true),
  },
  [LB]: {
    "lb-alb-two-zones": create(
      ({ wanted, book }) =>
        is(wanted.loadBalancerType ?? "application", "application") && new Set(subnetsOf(book, wanted.subnets).map(zoneOf)).size < 2,
    ),
    "lb-one-subnet-per-zone": create(({ wanted, book }) => {
      const zones = subnetsOf(book, wanted.subnets).map(zoneOf);
      return new Set(zones).size < zones.length;
    }),
    "lb-gateway-no-sg": check((w) => is(w.loadBalancerType ?? "", "gateway") && given(w.securityGroups)),
    "lb-deletion-protection": remove(({ before }) => is(before.enableDeletionProtection ?? false, true)),
  },
  "aws:lb/targetGroup:TargetGroup": {
    "tg-non-lambda": check((w) => isNot(w.targetType ?? "instance", "lambda") && count(w, "port", "protocol", "vpcId") < 3),
    "tg-tcp-hc": check((w) => blocks(w.healthCheck).some((h) => is(h.protocol ?? "", "TCP") && count(h, "path", "matcher") > 0)),
    "tg-http-tcp-hc": check(
      (w) => ["HTTP", "HTTPS"].includes(known(w.protocol) ?? "") && blocks(w.healthCheck).some((h) => is(h.protocol ?? "", "TCP")),
    ),
    "tg-timeout-interval": check(
      (w) => blocks(w.healthCheck).some((h) => amount(h.timeout) >= (given(h.interval) ? amount(h.interval) : 30)),
      true,
    ),
  },
  "aws:lb/listener:Listener": {
    "lis-forward-target": check((w) =>
      blocks(w.defaultActions).some((a) => is(a.type ?? "", "forward") && count(a, "targetGroupArn", "forward") === 0),
    ),
    "lis-https-cert": check((w) => ["HTTPS", "TLS"].includes(known(w.protocol) ?? "") && !given(w.certificateArn)),
    "lis-port-required": create(
      ({ wanted, book }) => get(book, LB, wanted.loadBalancerArn)?.state.loadBalancerType !== "gateway" && !given(wanted.port),
    ),
    "lis-protocol-lb": create(({ wanted, book }) => {
      const fitting = listenerProtocols[textOf(get(book, LB, wanted.loadBalancerArn)?.state.loadBalancerType)];
      return fitting !== undefined && known(wanted.protocol) !== undefined && !fitting.includes(textOf(wanted.protocol));
    }),
    "lis-duplicate-port": create((look) => others(look, "aws:lb/listener:Listener", "loadBalancerArn", "port").length > 0),
  },
  "aws:route53/zone:Zone": {
    "zone-delegation-private": check((w) => given(w.delegationSetId) && given(w.vpcs)),
    "zone-delete-records": remove(
      ({ book, id, before }) =>
        before.forceDestroy !== true && book.things.some(({ type, state }) => type === RECORD && state.zoneId === id),
    ),
  },
  [RECORD]: {
    "rec-alias-or-records": check((w) => count(w, "aliases", "records") !== 1),
    "rec-ttl": check((w) => (given(w.records) && !given(w.ttl)) || (given(w.aliases) && given(w.ttl))),
    "rec-exists": create(
      (look) => look.wanted.allowOverwrite !== true && others(look, RECORD, "zoneId", "name", "type", "setIdentifier").length > 0,
    ),
    "rec-cname-apex": create((look) => is(look.wanted.type ?? "", "CNAME") && textOf(look.wanted.name).replace(/\.$/, "") === apexOf(look)),
    "rec-cname-alone": create((look) =>
      others(look, RECORD, "zoneId", "name").some(({ state }) => (state.type === "CNAME") !== is(look.wanted.type ?? "", "CNAME")),
    ),
    "rec-set-identifier": check((w) => {
      const routed = Object.keys(w).some((property) => /RoutingPolicies$|RoutingPolicy$/.test(property) && given(w[property]));
      return routed && !given(w.setIdentifier) && !open(w.setIdentifier);
    }),
  },
  "aws:route53/zoneAssociation:ZoneAssociation": {
    "za-conflict": create(({ wanted, book }) => {
      const name = get(book, "aws:route53/zone:Zone", wanted.zoneId)?.state.name;
      return book.things.some(
        ({ type, id, state }) =>
          type === "aws:route53/zone:Zone" &&
          id !== wanted.zoneId &&
          state.name === name &&
          blocks(state.vpcs).some(({ vpcId }) => vpcId === wanted.vpcId),
      );
    }),
  },
};
