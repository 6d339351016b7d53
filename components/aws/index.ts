import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../../plan/config.ts";
import { ROLES } from "../../plan/render/patroni.ts";
import { CACHE_USERS } from "../../plan/render/valkey.ts";
import type { Topology } from "../../plan/topology.ts";
import { Secrets } from "../secrets.ts";
import type { Target, TargetArgs } from "../target.ts";
import { Agent } from "./agent.ts";
import { Backup } from "./backup.ts";
import { Cache } from "./cache.ts";
import type { CacheRefs, Common, DatabaseRefs, Place, PoolerRefs, SecretRefs } from "./contract.ts";
import { Database } from "./database.ts";
import { Dns, domainOf } from "./dns.ts";
import { PoolerImage } from "./image.ts";
import { Monitoring } from "./monitoring.ts";
import { namingOf, taggingOf } from "./names.ts";
import { Notices } from "./notices.ts";
import { makePlaces } from "./places.ts";
import { Pooler } from "./pooler.ts";
import { RdsProxy } from "./proxy.ts";
import { Store } from "./secrets.ts";

/** Who owns the pooler hosts' certificate. */
const POOLER = "pooler";
/** What the hosts run on: what every Docker engine can build without emulation. */
const ARCHITECTURE = "x86_64";

/** Everything that the parts of one run share. */
interface Run {
  config: StackConfig;
  topology: Topology;
  common: Common;
  home: Place;
  places: Readonly<Record<string, Place>>;
}

/** The topology on AWS with RDS and ElastiCache, in one region or several. Never run on AWS yet: see docs/aws.md. */
export class AwsTarget extends pulumi.ComponentResource implements Target {
  readonly passwords: pulumi.Output<Record<string, string>>;
  readonly caCertificate: pulumi.Output<string>;
  /** Applications run on other machines than this one, so no file of the authority can be named here: they get `caCertificate`. */
  readonly urlOptions = pulumi.output("sslmode=require");
  readonly cacheUrl: pulumi.Output<string>;
  readonly dashboardUrl: pulumi.Output<string>;
  readonly ready: pulumi.Output<boolean>;

  constructor(name: string, { config, topology, last, schema }: TargetArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Target", name, {}, options);
    const child = { parent: this };
    const { stack } = topology;
    const project = pulumi.getProject();
    const common: Common = { stack, naming: namingOf(project, stack), tags: taggingOf(project, stack), protect: config.protect };
    const places = this.#places(config, topology, common);
    const home = places[topology.regions[0]]!;
    const run: Run = { config, topology, common, home, places };
    const made = this.#secrets(run);
    const database = new Database(
      "database",
      {
        ...common,
        topology,
        places,
        password: made.byRole[ROLES.admin]!,
        retentionDays: config.backup.retentionDays,
        lastVersion: last?.postgresVersion,
      },
      child,
    ).refs;
    const secrets = this.#store(run, made, database);
    const zoneId = new Dns(
      "dns",
      {
        ...common,
        places,
        domain: domainOf(topology.endpoint.host),
        existing: config.aws.zoneId,
        existingVpc: config.aws.vpcId !== null,
      },
      child,
    ).zoneId;
    const poolers = this.#poolers(run, database, secrets, zoneId);
    const cache =
      topology.cache.length > 0
        ? new Cache("cache", { ...common, place: home, topology, passwords: secrets.passwords, zoneId }, child).refs
        : null;
    const agent = new Agent(
      "agent",
      {
        ...common,
        place: home,
        topology,
        schema,
        release: config.release,
        database,
        secrets,
        poolers,
        after: [...poolers.flatMap(({ after }) => after), ...(cache?.after ?? [])],
      },
      child,
    ).refs;
    const topics = config.monitoring
      ? new Notices("notices", { ...common, places, receivers: config.alerts.receivers }, child).topics
      : null;
    const { regions } = topology;
    new Backup("backup", { ...common, regions, places, database, backup: config.backup, topic: topics?.[home.region] ?? null }, child);
    this.dashboardUrl = topics
      ? new Monitoring("monitoring", { ...common, topology, alerts: config.alerts, places, topics, database, poolers, cache, agent }, child)
          .dashboardUrl
      : pulumi.output("");
    this.passwords = secrets.passwords;
    this.caCertificate = secrets.caCertificate;
    this.cacheUrl = cacheUrl(cache, secrets);
    this.ready = agent.ready;
    this.registerOutputs({ ready: this.ready });
  }

  #places({ aws: given }: StackConfig, topology: Topology, common: Common): Readonly<Record<string, Place>> {
    const { vpcId, subnetIds, kmsKeyArn } = given;
    return makePlaces(
      {
        ...common,
        topology,
        existing: { vpc: vpcId !== null && subnetIds !== null ? { vpcId, subnetIds } : null, kmsKeyArn },
        // Where the databases survive the loss of a zone, so does the poolers' way out. Held ones count: a way back to stage 1 keeps
        // the gateways' addresses, which cannot be had again, until `ladder finish`.
        gateways: topology.nodes.length > 1 ? 3 : 1,
      },
      this,
    );
  }

  #secrets({ config, topology }: Run): Secrets {
    const { stack, endpoint, regionalReads } = topology;
    return new Secrets(
      "secrets",
      {
        stack,
        logins: [...loginsOf(topology), ROLES.monitor, CACHE_USERS.app.role],
        rotation: config.rotation,
        hosts: { [POOLER]: [endpoint.host, ...regionalReads.map(({ host }) => host)] },
      },
      { parent: this },
    );
  }

  /** Where the stack's secrets are. */
  #store({ topology, common, home, places }: Run, made: Secrets, { nodes }: DatabaseRefs): SecretRefs {
    return new Store(
      "store",
      {
        ...common,
        logins: loginsOf(topology),
        passwords: made.byRole,
        identity: made.identities.apply((all) => all[POOLER]!),
        ca: made.ca,
        home,
        copies: Object.values(places).filter((place) => !place.home),
        after: nodes.map(({ instance }) => instance),
      },
      { parent: this, provider: home.provider },
    ).refs;
  }

  /** The hosts of every region that the configuration names; held databases of a region that was taken out need none. */
  #poolers(run: Run, database: DatabaseRefs, secrets: SecretRefs, zoneId: pulumi.Output<string>): readonly PoolerRefs[] {
    const { config, topology, common, home, places } = run;
    const child = { parent: this };
    const made = new PoolerImage("image", { ...common, place: home, base: config.images.postgres, architecture: ARCHITECTURE }, child);
    const image = { digest: made.digest, repositoryArn: made.repositoryArn, region: home.region, architecture: ARCHITECTURE } as const;
    const proxied = [
      ...new Set(topology.pools.filter(({ to, mode }) => to === "primary" && mode === "transaction").map(({ user }) => user)),
    ];
    const proxy = config.aws.rdsProxy
      ? new RdsProxy("proxy", { ...common, place: home, database, secrets: proxied.map((user) => secrets.roles[user]!) }, child).endpoint
      : null;
    return topology.regions.map((region) => {
      const place = places[region]!;
      const args = { ...common, place, topology, database, secrets, image, zoneId, proxy: place.home ? proxy : null };
      return new Pooler(`pooler-${region}`, args, child).refs;
    });
  }
}

/** Roles of the application. */
const loginsOf = ({ endpoint }: Topology): readonly string[] => [endpoint.write.user, endpoint.read.user];

/** The endpoint itself and not the name that leads to it: its certificate bears its own name. */
function cacheUrl(cache: CacheRefs | null, { passwords }: SecretRefs): pulumi.Output<string> {
  if (cache === null) return pulumi.output("");
  const { user, role } = CACHE_USERS.app;
  return pulumi.interpolate`rediss://${user}:${passwords.apply((all) => all[role]!)}@${cache.host}:${cache.port}`;
}
