import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { cacheContainerMemory, cacheNodePort } from "../../plan/cache.ts";
import { cacheDoorConfig, UIDS, valkeyStatic } from "../../plan/mirror.ts";
import { CACHE_ADDRESS, CACHE_FILES, CACHE_USERS } from "../../plan/render/valkey.ts";
import type { CacheNode, LastOutputs, Topology } from "../../plan/topology.ts";
import { dockerName, type Gate, labels, type Surroundings, service } from "./container.ts";

/** Memory of the door in MiB. */
const DOOR_MEMORY = 256;

export interface CacheArgs {
  around: Surroundings;
  topology: Topology;
  last: LastOutputs | undefined;
  /** Valkey's image; the door is the pooler's HAProxy. */
  images: { node: pulumi.Input<string>; door: pulumi.Input<string> };
  /** Volumes of the parts' files, by part. */
  files: Readonly<Record<string, docker.Volume>>;
  /** Opens when the files are written. */
  after: Gate;
}

/** Valkey's nodes, and the door that leads to their primary. The agent makes a cluster of them. */
export class Cache extends pulumi.ComponentResource {
  readonly containers: readonly docker.Container[];

  constructor(name: string, args: CacheArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:docker:Cache", name, {}, options);
    // The last node first: a new image reaches one node at a time, and the other one goes on with the keys.
    const nodes: docker.Container[] = [];
    for (const node of [...args.topology.cache].reverse()) nodes.unshift(this.#node(node, [...nodes], args));
    this.containers = [...nodes, ...this.#door(args)];
    this.registerOutputs({});
  }

  #node(node: CacheNode, before: docker.Container[], { around, topology, last, images, files, after }: CacheArgs): docker.Container {
    const { name } = node;
    const port = cacheNodePort(topology.port, node);
    // What is in it can be loaded again, so it is not protected.
    const data = new docker.Volume(
      `data-${name}`,
      { name: dockerName(around.stack, `data-${name}`), labels: labels(around) },
      { parent: this },
    );
    return service(
      around,
      {
        part: name,
        image: images.node,
        uid: UIDS.cache,
        port,
        memory: limitOf(node, last),
        volumes: [
          { volumeName: data.name, containerPath: "/var/lib/valkey" },
          { volumeName: files[name]!.name, containerPath: CACHE_FILES, readOnly: true },
        ],
        readAtStart: valkeyStatic(topology, node),
        healthcheck: healthcheck(port),
      },
      { parent: this, dependsOn: after.apply((gates) => [...gates, ...before]) },
    );
  }

  #door({ around, topology, images, files, after }: CacheArgs): docker.Container[] {
    const { cacheDoor } = topology;
    if (!cacheDoor) return [];
    const config = `${CACHE_FILES}/haproxy.cfg`;
    const door = service(
      around,
      {
        part: cacheDoor.name,
        image: images.door,
        uid: UIDS.pooler,
        port: cacheDoor.port,
        memory: DOOR_MEMORY,
        command: ["haproxy", "-db", "-f", config],
        volumes: [{ volumeName: files[cacheDoor.name]!.name, containerPath: CACHE_FILES, readOnly: true }],
        readAtStart: cacheDoorConfig(topology.port, ""),
        healthcheck: `socat -u OPEN:/dev/null TCP:127.0.0.1:${cacheDoor.port}`,
      },
      { parent: this, dependsOn: after },
    );
    return [door];
  }
}

/**
 * A primary, or a replica that has copied everything: the next node is replaced only then. A replica that has not found its primary for 10 s
 * passes too: after `bin/down` it is made before its primary is, both have other addresses than before, and the agent, which tells them, comes last.
 */
function healthcheck(port: number): string {
  const ask = `valkey-cli --no-auth-warning --user ${CACHE_USERS.door.user} --tls --cacert ${CACHE_FILES}/ca.crt -h ${CACHE_ADDRESS} -p ${port} role`;
  const waited = "[ $(($(date +%s) - $(stat -c %Y /tmp/looked))) -ge 10 ]";
  return [
    "[ -e /tmp/looked ] || touch /tmp/looked",
    // A replica answers slave, its primary's address and port, and how far its connection is.
    `set -- $(REDISCLI_AUTH=$(cat ${CACHE_FILES}/door.password) ${ask})`,
    `case "$1 $4" in master*|"slave connected") true ;; "slave connect"|"slave connecting") ${waited} ;; *) false ;; esac`,
  ].join("; ");
}

/** In MiB: a limit grows before the data may, and shrinks one `up` after it. */
function limitOf(node: CacheNode, last: LastOutputs | undefined): number {
  const before = last?.cache.find(({ name }) => name === node.name) ?? node;
  return Math.floor(Math.max(cacheContainerMemory(before), cacheContainerMemory(node)) / 1_024);
}
