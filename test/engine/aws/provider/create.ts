/** The values that AWS computes when something is made: ids, ARNs, endpoints, defaults. */
import { createHash } from "node:crypto";
import { listOf, type Props, textOf, type Value } from "../../../../offline/bridge/values.ts";
import { ACCOUNT_ID, type Book } from "./account.ts";
import { subnetsOf } from "./references.ts";
import type { ResourceType } from "./table.ts";

const LB_KINDS: Readonly<Record<string, string>> = { application: "app", network: "net", gateway: "gwy" };

/** Values that templates may name beside the resource's own properties; they differ from one thing to the next. */
function vocabulary(book: Book, region: string, planned: Props): Record<string, string> {
  const digest = createHash("sha256").update(String(book.made)).digest("hex");
  const subnet = subnetsOf(book, planned.subnetIds ?? planned.subnets ?? planned.vpcZoneIdentifiers)[0];
  return {
    region: textOf(planned.region) || region,
    account: ACCOUNT_ID,
    hex: digest.slice(0, 17),
    hex16: digest.slice(0, 16),
    hex6: digest.slice(0, 6),
    UPPER: digest
      .slice(0, 26)
      .toUpperCase()
      .replaceAll(/\d/g, (digit) => "GHIJKLMNOP"[Number(digit)]!),
    uuid: digest.slice(0, 32).replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5"),
    kind: LB_KINDS[textOf(planned.loadBalancerType)] ?? "",
    subnetVpc: textOf(subnet?.state.vpcId),
    defaultSg: textOf(book.things.find(({ id }) => id === planned.vpcId)?.state.defaultSecurityGroupId),
  };
}

function fill(template: Value, words: Props): Value {
  if (typeof template === "string") return template.replaceAll(/\$\{(\w+)\}/g, (_, word: string) => String(words[word] ?? ""));
  if (Array.isArray(template)) return template.map((item) => fill(item, words));
  if (typeof template === "object" && template !== null)
    return Object.fromEntries(Object.entries(template).map(([key, item]) => [key, fill(item, words)]));
  return template;
}

/** What AWS chooses where the program says nothing. */
function chosen(book: Book, type: string, region: string, planned: Props): Props {
  const zone = () => textOf(subnetsOf(book, planned.subnetIds)[0]?.state.availabilityZone) || `${region}a`;
  switch (type) {
    case "aws:rds/instance:Instance": {
      const source = book.things.find(
        (thing) => thing.type === type && [thing.state.arn, thing.state.identifier].includes(planned.replicateSourceDb ?? null),
      );
      const { engine = "postgres", engineVersion = "17", allocatedStorage = 20, username = "" } = source?.state ?? {};
      return { port: 5432, engine, engineVersion, allocatedStorage, username, availabilityZone: zone(), engineVersionActual: "17.6" };
    }
    case "aws:autoscaling/group:Group":
      return { desiredCapacity: planned.minSize ?? 0 };
    case "aws:ec2/launchTemplate:LaunchTemplate":
      return { defaultVersion: 1 };
    case "aws:elasticache/replicationGroup:ReplicationGroup": {
      const groups = typeof planned.numNodeGroups === "number" ? planned.numNodeGroups : 1;
      const each = 1 + (typeof planned.replicasPerNodeGroup === "number" ? planned.replicasPerNodeGroup : 0);
      const id = textOf(planned.replicationGroupId);
      const members = Array.from({ length: groups * each }, (_, n) => {
        const group = String(Math.floor(n / each) + 1).padStart(4, "0");
        return `${id}-${group}-${String((n % each) + 1).padStart(3, "0")}`;
      });
      return { memberClusters: members, clusterEnabled: planned.clusterMode === "enabled" || groups > 1 };
    }
    default:
      return {};
  }
}

/** The id and everything computed of a new thing. Counts the thing in the book. */
export function computed(book: Book, type: string, table: ResourceType, region: string, planned: Props): { id: string; outputs: Props } {
  book.made += 1;
  const own = chosen(book, type, region, planned);
  const words: Props = { ...own, ...planned, ...vocabulary(book, region, planned) };
  const id = String(fill(table.id, words));
  const outputs = fill(table.outputs, { ...words, id }) as Props;
  const state: Props = { ...outputs, ...own, tagsAll: planned.tags ?? {} };
  for (const [name, rule] of Object.entries(table.properties)) {
    if (state[name] !== undefined || planned[name] !== undefined || !(rule.computed || rule.output)) continue;
    if (name === "region") state[name] = region;
    else if (rule.type === "string" && !name.endsWith("Prefix")) state[name] = `${name}-of-${listOf(id.split("/")).at(-1)}`;
  }
  if (table.properties.tagsAll === undefined) delete state.tagsAll;
  return { id, outputs: { ...state, ...planned } };
}
