import * as pulumi from "@pulumi/pulumi";
import type { DatabaseNode, Place } from "./contract.ts";
import { type InstanceArgs, makeInstance } from "./instance.ts";

/**
 * A replica in the primary's region. Its place is chosen once, in a zone where the primary is not: the primary moves when it fails
 * over, and a replica that moved after it would be made anew. It has no backups of its own and can be made again at any time.
 */
export function replicaOf(primary: DatabaseNode, ordinal: number, args: InstanceArgs): DatabaseNode {
  return makeInstance(
    args,
    {
      replicateSourceDb: primary.instance.identifier,
      availabilityZone: elsewhere(primary.instance.availabilityZone, args.place, ordinal),
      multiAz: false,
      backupRetentionPeriod: 0,
      skipFinalSnapshot: true,
    },
    { ignoreChanges: ["availabilityZone"] },
  );
}

/** The `ordinal`-th (from 0) of the zones without the primary. */
function elsewhere(primaryZone: pulumi.Output<string>, { zones }: Place, ordinal: number): pulumi.Output<string> {
  return pulumi.all([primaryZone, ...zones]).apply(([taken, ...all]) => {
    const free = [...new Set(all)].filter((zone) => zone !== taken);
    return free[ordinal % free.length]!;
  });
}

export interface StandbyArgs extends InstanceArgs {
  subnetGroupName: pulumi.Input<string>;
  /** Days of automated backups. */
  retentionDays: number;
}

/**
 * A replica in another region: encrypted with that region's key, in that region's subnets, with a parameter group of its own. It is
 * ready to be promoted: it has backups (without them a promotion restarts it and the first backup has to be waited for) and
 * everything that a primary has but the second zone. Promotion itself is a person's step (docs/aws.md): AWS cannot undo it.
 */
export function standbyOf(primary: DatabaseNode, args: StandbyArgs): DatabaseNode {
  return makeInstance(args, {
    replicateSourceDb: primary.arn,
    kmsKeyId: args.place.kmsKeyArn,
    dbSubnetGroupName: args.subnetGroupName,
    multiAz: false,
    backupRetentionPeriod: args.retentionDays,
    backupWindow: BACKUPS,
    skipFinalSnapshot: true,
  });
}

/** Apart from the maintenance window, which AWS asks for. In UTC. */
export const BACKUPS = "03:00-04:00";
