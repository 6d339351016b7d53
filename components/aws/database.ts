import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { ROLES } from "../../plan/render/patroni.ts";
import type { Cluster, Node, Topology } from "../../plan/topology.ts";
import { tune } from "../../plan/tuning/index.ts";
import type { Common, DatabaseNode, DatabaseRefs, Place } from "./contract.ts";
import { type InstanceArgs, identifierOf, makeInstance } from "./instance.ts";
import { BACKUPS, replicaOf, standbyOf } from "./replicas.ts";

export interface DatabaseArgs extends Common {
  topology: Topology;
  /** By region: those of the configuration, and those that only held nodes are in. */
  places: Readonly<Record<string, Place>>;
  /** Of the master user; secret. Changed in place, without a restart. */
  password: pulumi.Input<string>;
  /** Days of automated backups, 7 to 35. */
  retentionDays: number;
  /** The major version that the last run left; undefined at the first. */
  lastVersion: number | undefined;
}

/** PostgreSQL on RDS: every cluster's primary, the replicas in its region and the standbys in others. */
export class Database extends pulumi.ComponentResource {
  readonly refs: DatabaseRefs;

  constructor(name: string, args: DatabaseArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Database", name, {}, options);
    const { topology, places } = args;
    const role = this.#monitoringRole(args);
    const subnets = Object.fromEntries(Object.values(places).map((place) => [place.region, this.#subnetGroup(place, args)]));
    const { postgresVersion } = topology;
    const versions: InstanceArgs["versions"] =
      args.lastVersion === undefined || args.lastVersion === postgresVersion ? [postgresVersion] : [postgresVersion, args.lastVersion];

    const nodesOf = (cluster: Cluster) => topology.nodes.filter((node) => node.cluster === cluster.name);
    const made = topology.clusters
      .filter(({ follows }) => follows === null)
      .flatMap((cluster) => {
        const first = nodesOf(cluster).find((node) => node.role === "primary")!;
        const writer = tune(topology.tuning[first.name]!);
        const instance = (node: Node): InstanceArgs => ({
          common: args,
          node,
          cluster: cluster.name,
          place: places[node.region]!,
          settings: node === first ? writer : tune({ ...topology.tuning[node.name]!, primary: writer }),
          versions,
          monitoringRoleArn: role.arn,
          parent: this,
        });
        const primary = this.#primary(instance(first), cluster, subnets[first.region]!, args);
        const replicas = nodesOf(cluster).filter((node) => node !== first);
        const standbys = topology.clusters.filter(({ follows }) => follows === cluster.name).flatMap(nodesOf);
        return [
          primary,
          ...replicas.map((node, i) => replicaOf(primary, i, instance(node))),
          ...standbys.map((node) =>
            standbyOf(primary, {
              ...instance(node),
              subnetGroupName: subnets[node.region]!.name,
              retentionDays: args.retentionDays,
            }),
          ),
        ];
      });
    const entry = nodesOf(topology.clusters.find((cluster) => cluster.name === topology.entry)!).find((node) => node.role === "primary")!;
    const rank = ({ role: its }: DatabaseNode) => ["primary", "replica", "standby"].indexOf(its);
    this.refs = {
      database: topology.database,
      primary: made.find((node) => node.name === entry.name)!,
      nodes: made.sort((a, b) => rank(a) - rank(b)),
    };
    this.registerOutputs({ endpoint: this.refs.primary.host });
  }

  #primary(instance: InstanceArgs, { multiAz }: Cluster, subnets: aws.rds.SubnetGroup, args: DatabaseArgs): DatabaseNode {
    // A snapshot's name can be used once; a stack that is made again must be able to end again.
    const final = new random.RandomId(`final-${instance.node.name}`, { byteLength: 4 }, { parent: this });
    return makeInstance(instance, {
      engine: "postgres",
      engineVersion: String(args.topology.postgresVersion),
      allowMajorVersionUpgrade: true,
      dbName: args.topology.database,
      username: ROLES.admin,
      password: pulumi.secret(args.password),
      kmsKeyId: instance.place.kmsKeyArn,
      dbSubnetGroupName: subnets.name,
      multiAz,
      backupRetentionPeriod: args.retentionDays,
      backupWindow: BACKUPS,
      skipFinalSnapshot: false,
      finalSnapshotIdentifier: pulumi.interpolate`${identifierOf(args, instance.node)}-final-${final.hex}`,
    });
  }

  #subnetGroup({ region, provider, privateSubnetIds }: Place, { naming, tags }: DatabaseArgs): aws.rds.SubnetGroup {
    const part = `database-${region}`;
    return new aws.rds.SubnetGroup(
      part,
      { name: naming(part, 200), description: "pgladder: private subnets", subnetIds: [...privateSubnetIds], tags: tags(part) },
      { parent: this, provider },
    );
  }

  /** Lets RDS write the operating system's figures to CloudWatch, in every region. */
  #monitoringRole({ naming, tags, places, topology }: DatabaseArgs): aws.iam.Role {
    const part = "database-monitoring";
    const { partition, provider } = places[topology.regions[0]]!;
    const at = { parent: this, provider };
    const role = new aws.iam.Role(
      part,
      {
        name: naming(part, 64),
        assumeRolePolicy: JSON.stringify({
          Version: "2012-10-17",
          Statement: [{ Effect: "Allow", Principal: { Service: "monitoring.rds.amazonaws.com" }, Action: "sts:AssumeRole" }],
        }),
        tags: tags(part),
      },
      at,
    );
    new aws.iam.RolePolicyAttachment(
      part,
      { role: role.name, policyArn: `arn:${partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole` },
      at,
    );
    return role;
  }
}
