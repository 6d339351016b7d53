import { createHash } from "node:crypto";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { haproxyConfig, mirrorFiles, schemaFiles } from "../../plan/mirror.ts";
import { ROLES } from "../../plan/render/patroni.ts";
import { CACHE_ADDRESS, CACHE_USERS } from "../../plan/render/valkey.ts";
import { Secrets } from "../secrets.ts";
import type { Target, TargetArgs } from "../target.ts";
import { Agent, Files } from "./agent.ts";
import { Cache } from "./cache.ts";
import { dockerName, gate, type Surroundings } from "./container.ts";
import { Database } from "./database.ts";
import { Images } from "./images.ts";
import { Pooler } from "./pooler.ts";
import { urlOptions } from "./trust.ts";

/** The mirror: the topology as containers on one Docker engine, with real servers. */
export class DockerTarget extends pulumi.ComponentResource implements Target {
  readonly passwords: pulumi.Output<Record<string, string>>;
  readonly caCertificate: pulumi.Output<string>;
  readonly urlOptions: pulumi.Output<string>;
  readonly cacheUrl: pulumi.Output<string>;
  readonly dashboardUrl = pulumi.output("");
  readonly ready: pulumi.Output<boolean>;

  constructor(name: string, { config, topology, last, schema }: TargetArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:docker:Target", name, {}, options);
    const child = { parent: this };
    const { stack, consensus, nodes, poolers, agent, endpoint, cache, cacheDoor } = topology;
    const pooler = poolers[0]!;
    const identified = [...consensus, ...nodes, ...cache, pooler, agent].map((part) => part.name);
    const parts = [...identified, ...(cacheDoor ? [cacheDoor.name] : [])];

    const owner = new random.RandomId("owner", { byteLength: 8 }, child).hex;
    const network = new docker.Network(
      "network",
      {
        name: dockerName(stack, "network"),
        labels: [
          { label: "pgladder.stack", value: stack },
          { label: "pgladder.owner", value: owner },
        ],
      },
      child,
    );
    const around: Surroundings = { stack, network: network.name, owner };
    const images = new Images("images", { stack, base: config.images.postgres, cache: cacheDoor !== null }, child);
    const secrets = new Secrets(
      "secrets",
      {
        stack,
        logins: [endpoint.write.user, endpoint.read.user, ROLES.monitor, CACHE_USERS.app.role],
        rotation: config.rotation,
        hosts: Object.fromEntries(identified.map((part) => [part, part === pooler.name ? [endpoint.host].filter(isName) : []])),
      },
      child,
    );
    const files = new Files(
      "files",
      {
        around,
        image: images.agent,
        parts,
        files: pulumi
          .all([secrets.ca, secrets.identities, secrets.passwords])
          .apply(([ca, identities, passwords]) => [
            ...mirrorFiles(topology, { ca, identities, passwords, digests: cacheDigests(passwords) }),
            ...schemaFiles(topology, schema),
          ]),
      },
      child,
    );
    const database = new Database(
      "database",
      {
        around,
        image: images.node,
        agent: { image: images.agent, files: files.volumes[agent.name]! },
        consensus,
        nodes,
        last,
        files: files.volumes,
        after: gate(files.written),
        protect: config.protect,
      },
      child,
    );
    const entrance = new Pooler(
      "pooler",
      {
        around,
        image: images.pooler,
        part: pooler.name,
        port: topology.port,
        haproxy: haproxyConfig(topology),
        files: files.volumes[pooler.name]!,
        after: gate(files.written),
      },
      child,
    );
    const after: pulumi.Resource[] = [...database.nodes, entrance.container];
    if (images.cache) {
      const { containers } = new Cache(
        "cache",
        {
          around,
          topology,
          last,
          images: { node: images.cache, door: images.pooler },
          files: files.volumes,
          after: gate(files.written),
        },
        child,
      );
      after.push(...containers);
    }
    this.ready = new Agent(
      "agent",
      {
        around,
        image: images.agent,
        nodeImage: images.node,
        files,
        part: agent.name,
        schema,
        after,
      },
      child,
    ).ready;
    this.passwords = secrets.passwords;
    this.caCertificate = secrets.ca;
    this.urlOptions = urlOptions(stack, secrets.ca);
    const { user, role } = CACHE_USERS.app;
    this.cacheUrl = pulumi
      .all([secrets.passwords, this.ready])
      .apply(([passwords]) => (cacheDoor ? `rediss://${user}:${passwords[role]}@${CACHE_ADDRESS}:${cacheDoor.port}` : ""));
    this.registerOutputs({ ready: this.ready });
  }
}

/** What the cache's nodes know of their users' passwords. */
const cacheDigests = (passwords: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.values(CACHE_USERS).map(({ role }) => [role, createHash("sha256").update(passwords[role]!).digest("hex")]));

const isName = (host: string) => !/^[\d.]+$/.test(host);
