import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Common, Place } from "./contract.ts";

export interface DnsArgs extends Common {
  /** Regions of the stack by name, home first. */
  places: Readonly<Record<string, Place>>;
  /** What every name of the stack ends in: `domainOf` of any of them. */
  domain: string;
  /**
   * A private zone that exists, of `domain` or of what that ends in; null makes one. Changing it moves the names to the other zone: they
   * do not resolve for a moment.
   */
  existing: string | null;
  /** The home VPC is not ours: whether it sees the existing zone is its owner's. */
  existingVpc: boolean;
}

/**
 * The private zone with the names that never change: they resolve in every VPC of the stack, and nowhere else. Further VPCs that are to
 * see them are associated by hand.
 */
export class Dns extends pulumi.ComponentResource {
  readonly zoneId: pulumi.Output<string>;

  constructor(name: string, args: DnsArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Dns", name, {}, { ...options, provider: Object.values(args.places)[0]!.provider });
    this.zoneId = args.existing === null ? this.#make(args) : this.#adopt(args.existing, args);
    this.registerOutputs({ zoneId: this.zoneId });
  }

  #make({ places, domain, naming, tags }: DnsArgs): pulumi.Output<string> {
    const vpcs = Object.values(places).map(({ vpcId, region }) => ({ vpcId, vpcRegion: region }));
    const zone = new aws.route53.Zone(
      "zone",
      { name: domain, comment: `pgladder: ${naming("zone")}`, vpcs, tags: tags("zone") },
      { parent: this },
    );
    return zone.zoneId;
  }

  #adopt(existing: string, { places, domain, existingVpc }: DnsArgs): pulumi.Output<string> {
    const zone = aws.route53.getZoneOutput({ zoneId: existing }, { parent: this });
    const zoneId = pulumi.all([zone.zoneId, zone.name, zone.privateZone]).apply(([id, zoneName, isPrivate]) => {
      requireZone(zoneName, isPrivate ?? false, domain);
      return id;
    });
    for (const { region, home, vpcId, provider } of Object.values(places))
      if (!(home && existingVpc))
        new aws.route53.ZoneAssociation(`zone-${region}`, { zoneId, vpcId, vpcRegion: region }, { parent: this, provider });
    return zoneId;
  }
}

/** The zone of a host name: all after its first label. */
export const domainOf = (host: string): string => host.slice(host.indexOf(".") + 1);

/** @throws Error where the stack's names cannot be in the zone, or all the world could read them. */
export function requireZone(zone: string, isPrivate: boolean, domain: string): void {
  const plain = zone.replace(/\.$/, "");
  if (!isPrivate) throw new Error(`pgladder:aws.zoneId: got the public zone ${plain}, want a private one`);
  if (domain !== plain && !domain.endsWith(`.${plain}`))
    throw new Error(`pgladder:aws.zoneId: got zone ${plain}, want ${domain} or a zone that it ends in`);
}
