import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { UIDS } from "../../plan/mirror.ts";
import { NODE_FILES } from "../../plan/render/patroni.ts";
import type { ConsensusMember, LastOutputs, Node } from "../../plan/topology.ts";
import { type KiB, kib } from "../../plan/types.ts";
import { AGENT_FILES } from "./agent.ts";
import { dockerName, type Gate, gate, type Surroundings, service, task } from "./container.ts";

/** Memory of an etcd member in MiB: it holds a few kilobytes of cluster state. */
const ETCD_MEMORY = 256;

export interface DatabaseArgs {
  around: Surroundings;
  image: pulumi.Input<string>;
  /** Hands the lead over before a node is replaced. */
  agent: { image: pulumi.Input<string>; files: docker.Volume };
  consensus: readonly ConsensusMember[];
  nodes: readonly Node[];
  last: LastOutputs | undefined;
  /** Volumes of the parts' files, by part. */
  files: Readonly<Record<string, docker.Volume>>;
  /** Opens when the files are written. */
  after: Gate;
  protect: boolean;
}

/** PostgreSQL under Patroni, and the etcd that Patroni keeps its state in. */
export class Database extends pulumi.ComponentResource {
  readonly nodes: readonly docker.Container[];

  constructor(name: string, args: DatabaseArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:docker:Database", name, {}, options);
    const members = args.consensus.map((member) => this.#member(member, args));
    this.nodes = [...new Set(args.nodes.map(({ cluster }) => cluster))].flatMap((cluster) =>
      this.#cluster(
        args.nodes.filter((node) => node.cluster === cluster),
        members,
        args,
      ),
    );
    this.registerOutputs({});
  }

  /** The last node first, the first one after all others: a new image reaches one node at a time, replicas before the primary. */
  #cluster(nodes: readonly Node[], members: readonly docker.Container[], args: DatabaseArgs): readonly docker.Container[] {
    const made: docker.Container[] = [];
    for (const node of [...nodes].reverse()) made.unshift(this.#node(node, [...members, ...made], args));
    return made;
  }

  #member({ name }: ConsensusMember, { around, image, files, after }: DatabaseArgs): docker.Container {
    const volumes = [
      { volumeName: this.#data(name, around, false).name, containerPath: "/var/lib/etcd" },
      { volumeName: files[name]!.name, containerPath: NODE_FILES, readOnly: true },
    ];
    const tls = ["cert-file=node.crt", "key-file=node.key", "trusted-ca-file=ca.crt"].map((pair) => pair.replace("=", `=${NODE_FILES}/`));
    const client = `--cacert ${NODE_FILES}/ca.crt --cert ${NODE_FILES}/node.crt --key ${NODE_FILES}/node.key`;
    return service(
      around,
      {
        part: name,
        image,
        volumes,
        uid: UIDS.node,
        memory: ETCD_MEMORY,
        command: [
          "etcd",
          `--name=${name}`,
          "--data-dir=/var/lib/etcd/data",
          "--listen-client-urls=https://0.0.0.0:2379",
          `--advertise-client-urls=https://${name}:2379`,
          "--listen-peer-urls=http://127.0.0.1:2380",
          "--initial-advertise-peer-urls=http://127.0.0.1:2380",
          `--initial-cluster=${name}=http://127.0.0.1:2380`,
          "--client-cert-auth",
          ...tls.map((pair) => `--${pair}`),
          "--auto-compaction-retention=1h",
          "--log-level=warn",
        ],
        healthcheck: `etcdctl ${client} --endpoints=https://localhost:2379 endpoint health`,
      },
      { parent: this, dependsOn: after },
    );
  }

  #node(node: Node, before: docker.Container[], { around, image, agent, files, after, last, protect }: DatabaseArgs): docker.Container {
    const { name, machine, held } = node;
    const healthcheck = `curl -sf --cacert ${NODE_FILES}/ca.crt https://localhost:8008/liveness`;
    const vacated = task(
      around,
      {
        part: `agent-vacate-${name}`,
        image: agent.image,
        uid: UIDS.agent,
        command: ["vacate", name],
        uploads: [],
        volumes: [{ volumeName: agent.files.name, containerPath: AGENT_FILES, readOnly: true }],
        triggers: { image, healthcheck },
        // A new agent is no reason to move the lead.
        ignoreImage: true,
      },
      { parent: this, dependsOn: after.apply((gates) => [...gates, ...before]) },
    );
    const volumes = [
      { volumeName: this.#data(name, around, protect && held !== "unprotected").name, containerPath: "/var/lib/postgresql" },
      { volumeName: files[name]!.name, containerPath: NODE_FILES, readOnly: true },
    ];
    return service(
      around,
      { part: name, image, uid: UIDS.node, volumes, memory: toMiB(limitOf(node, last)), cores: machine.cores, healthcheck },
      { parent: this, dependsOn: gate(vacated) },
    );
  }

  #data(part: string, { stack, owner }: Surroundings, protect: boolean): docker.Volume {
    const labels = [
      { label: "pgladder.stack", value: stack },
      { label: "pgladder.owner", value: owner },
    ];
    return new docker.Volume(`data-${part}`, { name: dockerName(stack, `data-${part}`), labels }, { parent: this, protect });
  }
}

/**
 * A node's memory limit grows before PostgreSQL's settings do, and shrinks one `up` after them: a server that still uses
 * the old shared_buffers must not be squeezed.
 */
function limitOf(node: Node, last: LastOutputs | undefined): KiB {
  const before = last?.nodes.find(({ name }) => name === node.name)?.machine.memory ?? node.machine.memory;
  return kib(Math.max(before, node.machine.memory));
}

const toMiB = (memory: KiB): number => Math.floor(memory / 1_024);
