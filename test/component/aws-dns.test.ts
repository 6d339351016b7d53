/** The private names of the AWS target, and RDS Proxy, under mocks. Cannot prove that AWS takes it: nothing of it has run there. */
import { describe, expect, test } from "vitest";
import { Dns, domainOf, requireZone } from "../../components/aws/dns.ts";
import { RdsProxy } from "../../components/aws/proxy.ts";
import { type Made, ofType, type RunOptions, recorded, the } from "./aws-mocks.ts";
import { AWAY, commonOf, databaseOf, HASH, HOME, placeOf, secretsOf, tags, topologyOf } from "./aws-parts.ts";

describe("names", () => {
  const dns = (existing: string | null, existingVpc: boolean, given: RunOptions = {}) =>
    recorded((options) => {
      const places = Object.fromEntries([HOME, AWAY].map((region) => [region, placeOf(region, options)]));
      new Dns("dns", { ...commonOf(), places, domain: "dev.pgladder.internal", existing, existingVpc }, options);
    }, given);

  test("a private zone of the stack's own is seen by the VPCs of all regions", async () => {
    expect(the(await dns(null, false), "route53.Zone", "zone").args).toEqual({
      name: "dev.pgladder.internal",
      comment: expect.stringMatching(new RegExp(`^pgladder: pgladder-dev-zone-${HASH}$`)),
      vpcs: [HOME, AWAY].map((region) => ({ vpcId: `vpc-${region}`, vpcRegion: region })),
      tags: tags("zone"),
    });
  });

  test("an existing zone is shown to the VPCs that are ours, and nothing else of it is changed", async () => {
    const associations = (made: readonly Made[]) => ofType(made, "route53.ZoneAssociation").map(({ args }) => args);
    const of = (region: string) => ({ zoneId: "Z0123456789", vpcId: `vpc-${region}`, vpcRegion: region });
    const ours = await dns("Z0123456789", false);
    expect(associations(ours)).toEqual([of(HOME), of(AWAY)]);
    expect(ofType(ours, "route53.Zone")).toEqual([]);
    expect(associations(await dns("Z0123456789", true))).toEqual([of(AWAY)]);
  });

  test("a zone that cannot hold the names, or shows them to the world, is refused", () => {
    expect(domainOf("db.dev.pgladder.internal")).toBe("dev.pgladder.internal");
    for (const zone of ["dev.pgladder.internal.", "pgladder.internal", "internal"])
      expect(() => requireZone(zone, true, "dev.pgladder.internal")).not.toThrow();
    expect(() => requireZone("example.com", true, "dev.pgladder.internal")).toThrow(
      "pgladder:aws.zoneId: got zone example.com, want dev.pgladder.internal or a zone that it ends in",
    );
    expect(() => requireZone("ladder.internal", true, "dev.pgladder.internal")).toThrow("got zone ladder.internal");
    expect(() => requireZone("pgladder.internal.", false, "dev.pgladder.internal")).toThrow(
      "pgladder:aws.zoneId: got the public zone pgladder.internal, want a private one",
    );
  });
});

describe("RDS Proxy", () => {
  test("asks for TLS and the application's passwords, and leads to the primary", async () => {
    const made = await recorded((options) => {
      const secrets = secretsOf();
      const topology = topologyOf({ stage: 2 });
      const place = placeOf(HOME, options);
      const logins = ["app", "app_ro"].map((role) => secrets.roles[role]!);
      new RdsProxy("proxy", { ...commonOf(), place, database: databaseOf(topology, options), secrets: logins }, options);
    });
    expect(the(made, "rds.Proxy", "proxy").args).toEqual({
      name: expect.stringMatching(new RegExp(`^pgladder-dev-proxy-${HASH}$`)),
      engineFamily: "POSTGRESQL",
      requireTls: true,
      roleArn: expect.stringContaining("iam"),
      vpcSubnetIds: ["subnet-1", "subnet-2", "subnet-3"],
      vpcSecurityGroupIds: ["sg-pooler"],
      auths: ["app", "app_ro"].map((owner) => ({
        authScheme: "SECRETS",
        iamAuth: "DISABLED",
        clientPasswordAuthType: "POSTGRES_SCRAM_SHA_256",
        secretArn: `arn:${HOME}:${owner}`,
      })),
      debugLogging: false,
      tags: tags("proxy"),
    });
    expect(the(made, "rds.ProxyTarget", "proxy").args).toMatchObject({ dbInstanceIdentifier: "main-1" });
    const flows = ["vpc.SecurityGroupIngressRule proxy-from-pooler", "vpc.SecurityGroupEgressRule pooler-to-proxy"];
    for (const flow of flows) {
      const [type = "", name = ""] = flow.split(" ");
      expect(the(made, type, name).args).toMatchObject({
        securityGroupId: "sg-pooler",
        referencedSecurityGroupId: "sg-pooler",
        fromPort: 5_432,
        toPort: 5_432,
      });
    }
  });
});
