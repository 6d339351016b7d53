/** Regions, their address blocks and zones: pure. */
import { describe, expect, test } from "vitest";
import { addressesOf, overlap, partitionOf, requireApart, spread, threeZones } from "../../components/aws/regions.ts";

const HOME = "us-east-1";
const AWAY = "eu-west-1";

describe("what AWS says that cannot work", () => {
  test("subnets of one zone", () => {
    expect(spread(["zone-b", "zone-a"])).toEqual(["zone-b", "zone-a"]);
    expect(() => spread(["zone-a", "zone-a"])).toThrow(
      "pgladder:aws.subnetIds: got subnets in zone-a, zone-a, want subnets in at least two zones",
    );
  });

  test("an existing VPC with a further region's addresses", () => {
    expect(() => requireApart("172.16.0.0/16", "10.72.0.0/16", AWAY)).not.toThrow();
    expect(() => requireApart("10.72.128.0/20", "10.72.0.0/16", AWAY)).toThrow(
      `pgladder:aws.vpcId: got 10.72.128.0/20, want addresses apart from 10.72.0.0/16, those of region ${AWAY}`,
    );
  });

  test("a region with two zones", () => {
    expect(() => threeZones(["zone-a", "zone-b"], HOME)).toThrow(
      `region ${HOME}: got zones zone-a, zone-b, want three that this account may use`,
    );
  });
});

describe("addresses", () => {
  test("each region has its own block, for ever", () => {
    expect(addressesOf("us-east-1", "dev").vpc).toBe("10.64.0.0/16");
    expect(addressesOf("eu-west-1", "dev").vpc).toBe("10.72.0.0/16");
    expect(addressesOf("cn-northwest-1", "dev").vpc).toBe("10.101.0.0/16");
  });

  test("a region without a block is refused", () => {
    expect(() => addressesOf("mars-1", "dev")).toThrow(/region: got "mars-1", want a region of AWS/);
  });

  test.each([
    ["10.64.0.0/16", "10.65.0.0/16", false],
    ["10.64.0.0/16", "10.64.32.0/20", true],
    ["10.0.0.0/8", "10.72.0.0/16", true],
    ["192.168.0.0/16", "10.72.0.0/16", false],
    ["0.0.0.0/0", "10.72.0.0/16", true],
  ])("%s and %s overlap: %s", (one, other, expected) => {
    expect([overlap(one, other), overlap(other, one)]).toEqual([expected, expected]);
  });

  test.each([
    ["eu-west-1", "aws"],
    ["cn-north-1", "aws-cn"],
    ["us-gov-west-1", "aws-us-gov"],
  ])("%s is in partition %s", (region, partition) => {
    expect(partitionOf(region)).toBe(partition);
  });
});
