/** What the provider answers without making anything (`aws.getAvailabilityZones` and the like). */
import { randomUUID } from "node:crypto";
import { listOf, objectsOf, type Props, textOf, textsOf, type Value } from "../../../../offline/bridge/values.ts";
import { ACCOUNT_ID, type Account } from "./account.ts";

const ZONES = ["a", "b", "c"];

/** A policy document in the order that AWS writes its keys. */
function document(args: Props): Props {
  const single = (items: readonly string[]) => (items.length === 1 ? items[0]! : [...items]);
  const statements = objectsOf(args.statements).map((statement) => {
    const principals = objectsOf(statement.principals).map(({ type, identifiers }) => [textOf(type), single(textsOf(identifiers))]);
    const tests: Record<string, Record<string, Value>> = {};
    for (const { test, variable, values } of objectsOf(statement.conditions))
      tests[textOf(test)] = { ...tests[textOf(test)], [textOf(variable)]: single(textsOf(values)) };
    return {
      ...(statement.sid ? { Sid: statement.sid } : {}),
      Effect: statement.effect ?? "Allow",
      ...(listOf(statement.actions).length > 0 ? { Action: single(textsOf(statement.actions)) } : {}),
      ...(listOf(statement.resources).length > 0 ? { Resource: single(textsOf(statement.resources)) } : {}),
      ...(principals.length > 0 ? { Principal: Object.fromEntries(principals) } : {}),
      ...(Object.keys(tests).length > 0 ? { Condition: tests } : {}),
    };
  });
  const json = JSON.stringify({ Version: "2012-10-17", Statement: statements });
  return { json, minifiedJson: json, id: "document" };
}

export function functions(account: Account, own: () => string): Readonly<Record<string, (args: Props) => Promise<Props>>> {
  const regionOf = (args: Props) => textOf(args.region) || own();
  const find = (type: string, args: Props, fits: (state: Props, id: string) => boolean): Props => {
    const thing = account.read().things.find((one) => one.type === type && fits(one.state, one.id));
    if (thing === undefined) throw new Error(`${type}: got ${JSON.stringify(args)}, want something that exists in the account`);
    return { ...thing.state, id: thing.id };
  };
  return {
    "aws:index/getCallerIdentity:getCallerIdentity": async () => ({
      accountId: ACCOUNT_ID,
      arn: `arn:aws:iam::${ACCOUNT_ID}:user/test`,
      userId: "AIDATEST",
      id: ACCOUNT_ID,
    }),
    "aws:index/getPartition:getPartition": async () => ({
      partition: "aws",
      dnsSuffix: "amazonaws.com",
      reverseDnsPrefix: "com.amazonaws",
      id: "aws",
    }),
    "aws:index/getRegion:getRegion": async (args) => ({
      name: regionOf(args),
      region: regionOf(args),
      id: regionOf(args),
      description: "",
    }),
    "aws:index/getAvailabilityZones:getAvailabilityZones": async (args) => ({
      names: ZONES.map((zone) => `${regionOf(args)}${zone}`),
      zoneIds: ZONES.map((_, n) => `${regionOf(args)}-az${n + 1}`),
      groupNames: [regionOf(args)],
      id: regionOf(args),
      region: regionOf(args),
    }),
    "aws:iam/getPolicyDocument:getPolicyDocument": async (args) => document(args),
    "aws:ssm/getParameter:getParameter": async (args) => ({
      ...args,
      value: textOf(args.name).includes("ami") ? "ami-0123456789abcdef0" : "value",
      type: "String",
      arn: `arn:aws:ssm:${regionOf(args)}::parameter${textOf(args.name)}`,
      version: 1,
      id: textOf(args.name),
    }),
    "aws:ec2/getAmi:getAmi": async (args) => ({
      id: "ami-0123456789abcdef0",
      imageId: "ami-0123456789abcdef0",
      architecture: "arm64",
      rootDeviceName: "/dev/xvda",
      region: regionOf(args),
    }),
    "aws:ec2/getVpc:getVpc": async (args) => find("aws:ec2/vpc:Vpc", args, (_, id) => id === args.id),
    "aws:ec2/getSubnet:getSubnet": async (args) => find("aws:ec2/subnet:Subnet", args, (_, id) => id === args.id),
    "aws:ec2/getSubnets:getSubnets": async (args) => {
      const filters = objectsOf(args.filters);
      const vpcs = filters.filter(({ name }) => name === "vpc-id").flatMap(({ values }) => textsOf(values));
      const ids = account
        .read()
        .things.flatMap(({ type, id, state }) => (type === "aws:ec2/subnet:Subnet" && vpcs.includes(textOf(state.vpcId)) ? [id] : []));
      return { ids, filters, id: regionOf(args) };
    },
    "aws:route53/getZone:getZone": async (args) => {
      const zone = find("aws:route53/zone:Zone", args, (_, id) => id === args.zoneId);
      return { ...zone, privateZone: listOf(zone.vpcs).length > 0 };
    },
    "aws:kms/getKey:getKey": async (args) => find("aws:kms/key:Key", args, (state, id) => [id, state.arn].includes(args.keyId ?? "")),
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": async (args) => ({
      authorizationToken: "QVdTOnRva2Vu",
      userName: "AWS",
      // Another one each time, as at AWS.
      password: `token-${randomUUID()}`,
      proxyEndpoint: `https://${ACCOUNT_ID}.dkr.ecr.${regionOf(args)}.amazonaws.com`,
      expiresAt: "2026-01-01T12:00:00Z",
      id: regionOf(args),
    }),
  };
}
