import { InputError } from "../../plan/types.ts";

/**
 * Every region in the order of its address block. Append only: the position is in the addresses of VPCs that exist, and a VPC whose
 * addresses change is replaced with everything in it.
 */
const REGIONS: readonly string[] = [
  ...["us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "ca-west-1", "mx-central-1", "sa-east-1"],
  ...["eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2"],
  ...["ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5"],
  ...["ap-southeast-7", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-east-1", "ap-east-2", "ap-southeast-6"],
  ...["me-south-1", "me-central-1", "il-central-1", "af-south-1", "us-gov-east-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1"],
];

/** The first block: below are those that people choose by hand (10.0, 10.1, …). */
const FIRST_BLOCK = 64;

/** The addresses of a region's VPC. No two regions overlap, whatever a stack adds or removes. */
export interface Addresses {
  vpc: string;
  /** One a zone, 4,091 addresses each. */
  private: readonly string[];
  /** One a zone, 251 addresses each: for NAT gateways only. */
  public: readonly string[];
}

/** @throws InputError for a region without a block. */
export function addressesOf(region: string, stack: string): Addresses {
  const index = REGIONS.indexOf(region);
  if (index < 0)
    throw new InputError(`Pulumi.${stack}.yaml`, [{ path: "region", got: region, want: `a region of AWS (${REGIONS.join(", ")})` }]);
  const prefix = `10.${FIRST_BLOCK + index}`;
  return {
    vpc: `${prefix}.0.0/16`,
    private: [0, 16, 32].map((third) => `${prefix}.${third}.0/20`),
    public: [240, 241, 242].map((third) => `${prefix}.${third}.0/24`),
  };
}

/** The partition of a region: the second field of every ARN. */
export const partitionOf = (region: string): string =>
  region.startsWith("cn-") ? "aws-cn" : region.startsWith("us-gov-") ? "aws-us-gov" : "aws";

/** Whether two IPv4 blocks share an address: peering refuses such VPCs. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [one, other].map(read) as [Block, Block];
  const length = Math.min(a.length, b.length);
  return length === 0 || a.address >>> (32 - length) === b.address >>> (32 - length);
}

/** @throws Error where the VPC that exists at home has addresses of a further region's. */
export function requireApart(mine: string, theirs: string, region: string): void {
  if (overlap(mine, theirs))
    throw new Error(`pgladder:aws.vpcId: got ${mine}, want addresses apart from ${theirs}, those of region ${region}`);
}

/** The first three zones by name. @throws Error where the account may use fewer. */
export function threeZones(names: readonly string[], region: string): readonly string[] {
  if (names.length >= 3) return [...names].sort().slice(0, 3);
  throw new Error(`region ${region}: got zones ${names.join(", ")}, want three that this account may use`);
}

/** The zones of existing subnets, as they are. @throws Error where they are all one. */
export function spread(zones: readonly string[]): readonly string[] {
  if (new Set(zones).size >= 2) return zones;
  throw new Error(`pgladder:aws.subnetIds: got subnets in ${zones.join(", ")}, want subnets in at least two zones`);
}

interface Block {
  address: number;
  length: number;
}

function read(cidr: string): Block {
  const [address = "", length] = cidr.split("/");
  return { address: address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0), length: Number(length) };
}
