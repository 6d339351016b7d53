import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { NODE_FILES } from "../../plan/render/patroni.ts";
import type { ConsensusMember, LastOutputs, Node } from "../../plan/topology.ts";
import type { KiB } from "../../plan/types.ts";
import { dockerName, type Gate, type Surroundings, service } from "./container.ts";

/** Memory of an etcd member in MiB: it holds a few kilobytes of cluster state. */
const ETCD_MEMORY = 256;

export interface DatabaseArgs {
  around: Surroundings;
  image: pulumi.Input<string>;
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
    this.nodes = args.nodes.map((node) => this.#node(node, members, args));
    this.registerOutputs({});
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
        memory: ETCD_MEMORY,
        cores: 1,
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

  #node(node: Node, members: docker.Container[], { around, image, files, after, last, protect }: DatabaseArgs): docker.Container {
    const volumes = [
      { volumeName: this.#data(node.name, around, protect && node.held !== "unprotected").name, containerPath: "/var/lib/postgresql" },
      { volumeName: files[node.name]!.name, containerPath: NODE_FILES, readOnly: true },
    ];
    return service(
      around,
      {
        part: node.name,
        image,
        volumes,
        memory: toMiB(limitOf(node, last)),
        cores: node.machine.cores,
        healthcheck: `curl -sf --cacert ${NODE_FILES}/ca.crt https://localhost:8008/liveness`,
      },
      { parent: this, dependsOn: after.apply((gates) => [...gates, ...members]) },
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
  return before > node.machine.memory ? before : node.machine.memory;
}

const toMiB = (memory: KiB): number => Math.floor(memory / 1_024);
