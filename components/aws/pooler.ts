import { gzipSync } from "node:zlib";
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { type Architecture, type HostSettings, hostClass, hostRoles, hostSettings } from "../../plan/pooler-host.ts";
import { LEAVE, rdsAuthorities, renderBoot } from "../../plan/render/pooler-boot.ts";
import type { Topology } from "../../plan/topology.ts";
import type { Common, DatabaseRefs, Place, PoolerRefs, SecretRefs } from "./contract.ts";
import { Door } from "./door.ts";
import { HostRole } from "./host-role.ts";

export interface PoolerArgs extends Common {
  place: Place;
  topology: Topology;
  database: DatabaseRefs;
  secrets: SecretRefs;
  /** `PoolerImage` of the home region, and that region. A new digest replaces the hosts one after the other. */
  image: { digest: pulumi.Input<string>; repositoryArn: pulumi.Input<string>; region: string; architecture: Architecture };
  /** Of `Dns`. */
  zoneId: pulumi.Input<string>;
  /** Host name of the RDS Proxy that the home region's transaction pool goes through; null without one. */
  proxy: pulumi.Input<string> | null;
}

/** Days that logs are kept. */
const RETENTION = 365;
/** GiB: the system, Docker and two images. */
const VOLUME = 20;
/** Seconds from start to the first good health check: updates, Docker, the image. */
const START = 300;
/** Seconds in a month: hosts are replaced at the latest then, so that they run a system of this month. */
const LIFETIME = 30 * 24 * 3_600;
/** While hosts are replaced there is never one less, and at most twice as many. In percent of their number. */
const REPLACE = { minHealthyPercentage: 100, maxHealthyPercentage: 200 } as const;

/**
 * The pooler hosts of one region behind their door. Nothing on them is kept: any host can end at any time, and one that is told to end
 * lets its clients finish. What a change costs: pools, nodes and passwords nothing (hosts look every 30 s); image, class or number of
 * processes one host after the other, whose clients have 300 s to finish and then connect anew; the number of hosts nothing.
 */
export class Pooler extends pulumi.ComponentResource {
  readonly refs: PoolerRefs;

  constructor(name: string, args: PoolerArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Pooler", name, {}, { ...options, provider: args.place.provider });
    const { place, topology, naming, tags } = args;
    const child = { parent: this };
    const part = `pooler-${place.region}`;
    const groupName = naming(part);
    const logGroupName = `/pgladder/${naming(part)}`;
    const logs = new aws.cloudwatch.LogGroup(
      part,
      { name: logGroupName, retentionInDays: RETENTION, kmsKeyId: place.kmsKeyArn, tags: tags(part) },
      child,
    );
    const host = hostOf(topology, place);
    const door = new Door(`door-${place.region}`, { ...args, port: topology.port, host }, child);
    const { parameter, settings } = this.#settings(part, args);
    const role = new HostRole(
      `role-${part}`,
      {
        ...args,
        secrets: [...rolesOf(args).map(([, secret]) => secret), args.secrets.poolerIdentity],
        parameter,
        repositoryArn: args.image.repositoryArn,
        logGroupArn: logs.arn,
        groupName,
      },
      child,
    );
    const template = this.#template(part, role.profileArn, { parameter, logGroup: logGroupName, group: groupName, hook: part }, args);
    // A host finds all that it needs when it starts: `up` gives it 15 minutes, and databases take longer.
    const after = [...role.after, ...door.after, settings, ...args.secrets.after, ...place.wayOut];
    const group = this.#group(part, groupName, template, door.targetGroupArn, after, args);
    // Not one of the group's initial hooks: changing those would replace the group.
    const hook = new aws.autoscaling.LifecycleHook(
      part,
      {
        name: part,
        autoscalingGroupName: group.name,
        lifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING",
        heartbeatTimeout: LEAVE + 120,
        defaultResult: "CONTINUE",
      },
      child,
    );
    this.refs = {
      region: place.region,
      host,
      autoScalingGroupName: groupName,
      loadBalancerSuffix: door.loadBalancerSuffix,
      targetGroupSuffix: door.targetGroupSuffix,
      logGroupName,
      after: [...door.after, group, hook],
    };
    this.registerOutputs({ host });
  }

  /** @returns the parameter's name, known before it is there, and the parameter, which waits for every database */
  #settings(part: string, args: PoolerArgs): { parameter: string; settings: pulumi.Resource } {
    const { place, topology, database, secrets, proxy, naming, tags } = args;
    const name = `/${naming(part)}/settings`;
    const roles = Object.fromEntries(rolesOf(args).map(([role, secret]) => [role, secret.name]));
    const nodes = pulumi.all(database.nodes.map((node) => pulumi.output(node.host).apply((host) => ({ name: node.name, host }))));
    const value = pulumi.all([nodes, proxy]).apply(([known, its]) =>
      packed(
        hostSettings({
          topology,
          region: place.region,
          nodes: known,
          proxy: its,
          secrets: { roles, identity: secrets.poolerIdentity.name },
        }),
      ),
    );
    const settings = new aws.ssm.Parameter(
      part,
      // 8 KB, in which the pools of more than sixty shards have room, packed.
      {
        name,
        type: "SecureString",
        tier: "Advanced",
        keyId: place.kmsKeyArn,
        value,
        description: "pgladder: pooler hosts",
        tags: tags(part),
      },
      { parent: this },
    );
    return { parameter: name, settings };
  }

  #template(
    part: string,
    profileArn: pulumi.Output<string>,
    names: { parameter: string; logGroup: string; group: string; hook: string },
    args: PoolerArgs,
  ): aws.ec2.LaunchTemplate {
    const { place, topology, secrets, image, naming, tags } = args;
    const its = rolesOf(args).map(([, secret]) => secret.name);
    const userData = pulumi.output(image.digest).apply((digest) =>
      Buffer.from(
        renderBoot({
          ...names,
          region: place.region,
          image: digest,
          imageRegion: image.region,
          processes: topology.pooling.processes,
          secrets: [...its, secrets.poolerIdentity.name],
          authorities: rdsAuthorities(place.partition),
        }),
      ).toString("base64"),
    );
    const tagged = { ...tags(part), Name: naming(part, 128) };
    return new aws.ec2.LaunchTemplate(
      part,
      {
        name: naming(part, 125),
        updateDefaultVersion: true,
        // The newest image of the moment that a host starts: a new one changes nothing here.
        imageId: `resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${image.architecture}`,
        instanceType: hostClass(topology, image.architecture),
        userData,
        iamInstanceProfile: { arn: profileArn },
        // The container shares the host's network, and the session token's answer goes no further than the host.
        metadataOptions: { httpEndpoint: "enabled", httpTokens: "required", httpPutResponseHopLimit: 1, instanceMetadataTags: "disabled" },
        networkInterfaces: [
          { deviceIndex: 0, associatePublicIpAddress: "false", deleteOnTermination: "true", securityGroups: [place.securityGroups.pooler] },
        ],
        blockDeviceMappings: [
          {
            deviceName: "/dev/xvda",
            // With the account's own key: the auto-scaling service has no grant on the stack's.
            ebs: { volumeType: "gp3", volumeSize: VOLUME, encrypted: "true", deleteOnTermination: "true" },
          },
        ],
        monitoring: { enabled: true },
        tagSpecifications: ["instance", "volume", "network-interface"].map((resourceType) => ({ resourceType, tags: tagged })),
        tags: tagged,
      },
      { parent: this },
    );
  }

  #group(
    part: string,
    groupName: string,
    template: aws.ec2.LaunchTemplate,
    targetGroupArn: pulumi.Input<string>,
    dependsOn: pulumi.Resource[],
    { place, topology, naming, tags }: PoolerArgs,
  ): aws.autoscaling.Group {
    const count = topology.poolers.filter(({ region }) => region === place.region).length;
    return new aws.autoscaling.Group(
      part,
      {
        name: groupName,
        minSize: count,
        desiredCapacity: count,
        maxSize: 2 * count,
        vpcZoneIdentifiers: [...place.privateSubnetIds],
        launchTemplate: { id: template.id, version: template.latestVersion.apply(String) },
        targetGroupArns: [targetGroupArn],
        healthCheckType: "ELB",
        healthCheckGracePeriod: START,
        defaultInstanceWarmup: START,
        maxInstanceLifetime: LIFETIME,
        instanceMaintenancePolicy: REPLACE,
        instanceRefresh: { strategy: "Rolling", preferences: { ...REPLACE, instanceWarmup: String(START), skipMatching: true } },
        // `up` waits until the load balancer lets them in.
        minElbCapacity: count,
        waitForCapacityTimeout: "15m",
        enabledMetrics: ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances", "GroupTerminatingInstances"],
        tags: Object.entries({ ...tags(part), Name: naming(part, 128) }).map(([key, value]) => ({ key, value, propagateAtLaunch: true })),
      },
      // A group is gone when its hosts are, and those may take their time.
      { parent: this, dependsOn, customTimeouts: { delete: "30m" } },
    );
  }
}

/** As JSON, packed by gzip, in base64. */
function packed(settings: HostSettings): string {
  const bytes = gzipSync(JSON.stringify(settings));
  // The packing machine's kind, which would change the parameter when somebody else runs `up`.
  bytes[9] = 255;
  return bytes.toString("base64");
}

/** The name by which a region's clients know its poolers. */
function hostOf({ endpoint, regionalReads }: Topology, { region, home }: Place): string {
  return home ? endpoint.host : regionalReads.find((reads) => reads.region === region)!.host;
}

/** The passwords that the region's hosts know, by role. */
const rolesOf = ({ topology, place, secrets }: Pick<PoolerArgs, "topology" | "place" | "secrets">) =>
  hostRoles(topology, place.region).map((role) => [role, secrets.roles[role]!] as const);
