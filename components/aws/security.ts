import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { type Common, MOST_PROCESSES, PORTS, type SecurityGroups } from "./contract.ts";

export interface SecurityArgs extends Common {
  region: string;
  home: boolean;
  vpcId: pulumi.Input<string>;
  vpcCidr: pulumi.Input<string>;
  /** The port that clients connect to. */
  clientPort: number;
  /** Servers reach each other: a gateway its shards, and whoever has a subscription the server that it is to. */
  between: boolean;
  /** Addresses of the regions that this one is peered with, by region: security groups cannot be named across regions. */
  peers: Readonly<Record<string, pulumi.Input<string>>>;
}

const WEARERS = {
  database: "PostgreSQL (RDS)",
  pooler: "pooler hosts",
  door: "the load balancer before the poolers",
  cache: "the cache",
  agent: "functions of the agent",
} as const satisfies Record<keyof SecurityGroups, string>;

type Wearer = keyof typeof WEARERS;
type Port = "client" | "postgres" | "health" | "admin" | "cache" | "https";

interface Flow {
  from: Wearer | "vpc" | "peer";
  to: Wearer | "peer" | "anywhere";
  ports: readonly Port[];
  /** Only in the home region, or only in further ones. */
  only?: "home" | "away";
  /** Only where servers reach each other. */
  between?: true;
}

/** Everything that may talk. What is not here is refused. */
const FLOWS: readonly Flow[] = [
  { from: "vpc", to: "door", ports: ["client"] },
  { from: "vpc", to: "cache", ports: ["cache"], only: "home" },
  { from: "door", to: "pooler", ports: ["client", "health"] },
  { from: "pooler", to: "pooler", ports: ["admin"] },
  { from: "pooler", to: "database", ports: ["postgres"] },
  { from: "agent", to: "database", ports: ["postgres"] },
  { from: "database", to: "database", ports: ["postgres"], only: "home", between: true },
  // A standby of the gateway reads from the shards at home.
  { from: "database", to: "peer", ports: ["postgres"], only: "away", between: true },
  { from: "agent", to: "pooler", ports: ["client", "health", "admin"] },
  { from: "agent", to: "cache", ports: ["cache"], only: "home" },
  // Applications of further regions write at home, and their poolers fall back to the home databases.
  { from: "peer", to: "door", ports: ["client"], only: "home" },
  { from: "peer", to: "cache", ports: ["cache"], only: "home" },
  { from: "peer", to: "database", ports: ["postgres"] },
  { from: "pooler", to: "peer", ports: ["postgres"], only: "away" },
  // The agent lives at home and looks after all regions.
  { from: "agent", to: "peer", ports: ["postgres", "client", "health", "admin"], only: "home" },
  { from: "peer", to: "pooler", ports: ["client", "health", "admin"], only: "away" },
  // AWS' own services.
  { from: "pooler", to: "anywhere", ports: ["https"] },
  { from: "agent", to: "anywhere", ports: ["https"] },
];

/** Who may talk to whom in one region: both sides of every connection, by reference. Changes are made in place. */
export class Security extends pulumi.ComponentResource {
  readonly groups: SecurityGroups;

  constructor(name: string, args: SecurityArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Security", name, {}, options);
    const made = Object.fromEntries(
      Object.entries(WEARERS).map(([wearer, who]) => [wearer, this.#group(wearer, who, args).id]),
    ) as unknown as SecurityGroups;
    for (const flow of FLOWS.filter((each) => isThere(each, args))) this.#flow(flow, made, args);
    this.groups = made;
    this.registerOutputs({});
  }

  #group(wearer: string, who: string, { region, vpcId, naming, tags }: SecurityArgs): aws.ec2.SecurityGroup {
    const part = `${wearer}-${region}`;
    return new aws.ec2.SecurityGroup(
      part,
      { vpcId, name: naming(part, 200), description: `pgladder: ${who}`, tags: { ...tags(part), Name: naming(part, 128) } },
      { parent: this },
    );
  }

  #flow({ from, to, ports }: Flow, groups: SecurityGroups, { region, clientPort, vpcCidr, peers, tags }: SecurityArgs): void {
    const range = (port: Port) => portRange(port, clientPort);
    const others = (side: Flow["from"] | Flow["to"]): readonly [string, { cidrIpv4: pulumi.Input<string> } | { group: Wearer }][] => {
      if (side === "vpc") return [["vpc", { cidrIpv4: vpcCidr }]];
      if (side === "anywhere") return [["anywhere", { cidrIpv4: "0.0.0.0/0" }]];
      if (side === "peer") return Object.entries(peers).map(([name, cidrIpv4]) => [name, { cidrIpv4 }]);
      return [[side, { group: side }]];
    };
    const asRule = (side: { cidrIpv4: pulumi.Input<string> } | { group: Wearer }) =>
      "group" in side ? { referencedSecurityGroupId: groups[side.group] } : side;
    for (const port of ports) {
      const rule = { ipProtocol: "tcp", ...range(port) };
      if (isWearer(to))
        for (const [who, side] of others(from)) {
          const part = `${to}-from-${who}-${port}-${region}`;
          const args = { securityGroupId: groups[to], description: `${port} from ${who}`, ...rule, ...asRule(side), tags: tags(part) };
          new aws.vpc.SecurityGroupIngressRule(part, args, { parent: this });
        }
      if (isWearer(from))
        for (const [who, side] of others(to)) {
          const part = `${from}-to-${who}-${port}-${region}`;
          const args = { securityGroupId: groups[from], description: `${port} to ${who}`, ...rule, ...asRule(side), tags: tags(part) };
          new aws.vpc.SecurityGroupEgressRule(part, args, { parent: this });
        }
    }
  }
}

const isThere = ({ only, between }: Flow, args: SecurityArgs): boolean =>
  (only === undefined || (only === "home") === args.home) && (between === undefined || args.between);

const isWearer = (side: string): side is Wearer => Object.hasOwn(WEARERS, side);

function portRange(port: Port, clientPort: number): { fromPort: number; toPort: number } {
  if (port === "admin") return { fromPort: PORTS.admin, toPort: PORTS.admin + MOST_PROCESSES - 1 };
  const one = port === "client" ? clientPort : port === "https" ? 443 : PORTS[port];
  return { fromPort: one, toPort: one };
}
