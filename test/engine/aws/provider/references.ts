/** What one thing of the account says about another: ids, ARNs and names have to exist, and hold what they name from being deleted. */
import { isProps, type Props, textOf, textsOf, type Value } from "../../../../offline/bridge/values.ts";
import { ACCOUNT_ID, type Book, type Thing, texts } from "./account.ts";
import { TYPES } from "./table.ts";

const ID = /^(vpc|subnet|sg|rtb|igw|nat|eipalloc|vpce|pcx|lt)-[0-9a-f]{8,17}$/;
const ARN = /^arn:aws[a-z-]*:([a-z0-9-]+):([a-z0-9-]*):(\d{12}):(.+)$/;

/** By type and property: the type whose name it gives. `*` in front allows names that AWS itself has. */
const NAMES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "aws:rds/instance:Instance": {
    dbSubnetGroupName: "aws:rds/subnetGroup:SubnetGroup",
    parameterGroupName: "aws:rds/parameterGroup:ParameterGroup",
  },
  "aws:rds/proxyDefaultTargetGroup:ProxyDefaultTargetGroup": { dbProxyName: "aws:rds/proxy:Proxy" },
  "aws:rds/proxyTarget:ProxyTarget": { dbProxyName: "aws:rds/proxy:Proxy", dbInstanceIdentifier: "aws:rds/instance:Instance" },
  "aws:elasticache/replicationGroup:ReplicationGroup": {
    subnetGroupName: "aws:elasticache/subnetGroup:SubnetGroup",
    parameterGroupName: "aws:elasticache/parameterGroup:ParameterGroup",
    userGroupIds: "aws:elasticache/userGroup:UserGroup",
  },
  "aws:iam/rolePolicy:RolePolicy": { role: "aws:iam/role:Role" },
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": { role: "aws:iam/role:Role" },
  "aws:iam/instanceProfile:InstanceProfile": { role: "aws:iam/role:Role" },
  "aws:autoscaling/lifecycleHook:LifecycleHook": { autoscalingGroupName: "aws:autoscaling/group:Group" },
  "aws:ec2/launchTemplate:LaunchTemplate": { "iamInstanceProfile.name": "aws:iam/instanceProfile:InstanceProfile" },
  "aws:lambda/invocation:Invocation": { functionName: "aws:lambda/function:Function" },
  "aws:cloudwatch/eventTarget:EventTarget": { rule: "aws:cloudwatch/eventRule:EventRule" },
  "aws:route53/record:Record": { zoneId: "aws:route53/zone:Zone" },
  "aws:route53/zoneAssociation:ZoneAssociation": { zoneId: "aws:route53/zone:Zone" },
  "aws:backup/selection:Selection": { planId: "aws:backup/plan:Plan" },
  "aws:backup/plan:Plan": { "rules.targetVaultName": "aws:backup/vault:Vault" },
  "aws:backup/restoreTestingSelection:RestoreTestingSelection": {
    restoreTestingPlanName: "aws:backup/restoreTestingPlan:RestoreTestingPlan",
  },
  "aws:elasticache/userGroup:UserGroup": { userIds: "aws:elasticache/user:User" },
  "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": { functionName: "aws:lambda/function:Function" },
  "aws:kms/alias:Alias": { targetKeyId: "aws:kms/key:Key" },
  "aws:ecr/lifecyclePolicy:LifecyclePolicy": { repository: "aws:ecr/repository:Repository" },
};

/** What exists without anyone having made it. */
const isOfAws = (name: string) => name.startsWith("default.") || name === "default";

const region = (thing: Pick<Thing, "type" | "region">) => (/^aws:(iam|route53)\//.test(thing.type) ? "" : thing.region);

function namesOf(thing: Thing): Value[] {
  const property = TYPES[thing.type]?.name;
  return [thing.id, thing.state.arn ?? null, property === undefined ? null : (thing.state[property] ?? null)];
}

/** ARNs of things that exist, a secret's copies in other regions too. */
function arns(book: Book): Set<string> {
  const known = new Set<string>();
  for (const { id, region: home, state } of book.things) {
    const own = [id, textOf(state.arn), textOf(state.qualifiedArn)].filter((text) => text.startsWith("arn:"));
    for (const arn of own) known.add(arn);
    const copies = Array.isArray(state.replicas) ? state.replicas.filter(isProps).map((copy) => textOf(copy.region)) : [];
    for (const there of copies) for (const arn of own) known.add(arn.replace(`:${home}:`, `:${there}:`));
  }
  return known;
}

/** Properties that hold ids of what AWS makes together with a VPC. */
const IMPLIED = ["defaultSecurityGroupId", "defaultRouteTableId", "mainRouteTableId"];

/** Ids, ARNs and names in a resource that belong to nothing in the account. @returns problems as `path: got X, want Y` */
export function dangling(book: Book, type: string, where: string, wanted: Props): string[] {
  const made = new Set(book.things.flatMap(({ id, state }) => [id, ...IMPLIED.map((property) => textOf(state[property]))]));
  const known = arns(book);
  const exists = (arn: string) => {
    const whole = arn.replace(/:\*$/, "");
    if (known.has(whole)) return true;
    const stem = whole.replace(/[*?].*$/, "");
    return stem !== whole && [...known].some((one) => one.startsWith(stem));
  };
  const problems: string[] = [];
  for (const [path, text] of texts(wanted)) {
    if (ID.test(text) && !made.has(text)) problems.push(`${path}: got ${text}, want something that exists`);
    else if (ARN.exec(text)?.[3] === ACCOUNT_ID && !exists(text)) problems.push(`${path}: got ${text}, want something that exists`);
    const target = NAMES[type]?.[path];
    if (target === undefined || text === "" || isOfAws(text)) continue;
    const at = region({ type: target, region: where });
    const found = book.things.some((thing) => thing.type === target && region(thing) === at && namesOf(thing).includes(text));
    if (!found) problems.push(`${path}: got ${JSON.stringify(text)}, want the name of a ${target} in ${at || "the account"}`);
  }
  return problems;
}

/** Types that AWS refuses to delete while something still names them. */
const HELD = new Set([
  "aws:ec2/vpc:Vpc",
  "aws:ec2/subnet:Subnet",
  "aws:ec2/securityGroup:SecurityGroup",
  "aws:ec2/eip:Eip",
  "aws:rds/subnetGroup:SubnetGroup",
  "aws:rds/parameterGroup:ParameterGroup",
  "aws:elasticache/subnetGroup:SubnetGroup",
  "aws:elasticache/parameterGroup:ParameterGroup",
  "aws:lb/targetGroup:TargetGroup",
  "aws:iam/role:Role",
  "aws:route53/zone:Zone",
  "aws:cloudwatch/eventRule:EventRule",
  "aws:backup/plan:Plan",
]);

/** What still names this thing, where that keeps AWS from deleting it. */
export function holders(book: Book, thing: Thing): Thing[] {
  if (!HELD.has(thing.type)) return [];
  const own = namesOf(thing).filter((name) => typeof name === "string");
  return book.things.filter((other) => {
    if (other === thing || (region(other) !== region(thing) && region(thing) !== "")) return false;
    const named = NAMES[other.type] ?? {};
    return [...texts(other.state)].some(
      ([path, text]) => (own.includes(text) && (ID.test(text) || ARN.test(text))) || (named[path] === thing.type && own.includes(text)),
    );
  });
}

/** Names may be taken once in an account, or once in a region of it. */
export function taken(book: Book, type: string, where: string, wanted: Props): string | undefined {
  const property = TYPES[type]?.name;
  const name = property === undefined ? "" : textOf(wanted[property]);
  if (property === undefined || name === "" || SHARED_NAMES.has(type)) return undefined;
  const within = SCOPES[type] ?? [];
  const twin = book.things.some(
    (thing) =>
      thing.type === type &&
      region(thing) === region({ type, region: where }) &&
      textOf(thing.state[property]).toLowerCase() === name.toLowerCase() &&
      within.every((scope) => thing.state[scope] === wanted[scope]),
  );
  const waits = type === "aws:secretsmanager/secret:Secret" && book.waiting.includes(`${where} ${name}`);
  if (waits) return `${property}: got ${JSON.stringify(name)}, want a name that is not scheduled for deletion`;
  return twin ? `${property}: got ${JSON.stringify(name)}, want a name that is not taken` : undefined;
}

const SHARED_NAMES = new Set(["aws:route53/zone:Zone", "aws:backup/plan:Plan", "aws:rds/proxyDefaultTargetGroup:ProxyDefaultTargetGroup"]);
/** A name is unique only within these. */
const SCOPES: Readonly<Record<string, readonly string[]>> = {
  "aws:ec2/securityGroup:SecurityGroup": ["vpcId"],
  "aws:iam/rolePolicy:RolePolicy": ["role"],
  "aws:autoscaling/lifecycleHook:LifecycleHook": ["autoscalingGroupName"],
  "aws:cloudwatch/eventTarget:EventTarget": ["rule"],
  "aws:route53/record:Record": ["zoneId", "type", "setIdentifier"],
  "aws:backup/selection:Selection": ["planId"],
  "aws:backup/restoreTestingSelection:RestoreTestingSelection": ["restoreTestingPlanName"],
};

/** Whether a thing lies where the state of a resource says: some ids are unique only there. */
export const sameScope = (thing: Thing, state: Props): boolean =>
  [...(SCOPES[thing.type] ?? []), "region"].every((scope) => state[scope] === undefined || thing.state[scope] === state[scope]);

/** Subnets of a resource, as the account knows them. */
export function subnetsOf(book: Book, value: Value | undefined): Thing[] {
  const ids = textsOf(value);
  return book.things.filter(({ type, id }) => type === "aws:ec2/subnet:Subnet" && ids.includes(id));
}
