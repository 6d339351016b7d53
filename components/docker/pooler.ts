import type * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { UIDS } from "../../plan/mirror.ts";
import { POOLER_FILES } from "../../plan/render/pgbouncer.ts";
import { type Gate, type Surroundings, service } from "./container.ts";

/** Memory of a pooler in MiB: 10,000 clients need about 300. */
const POOLER_MEMORY = 512;

export interface PoolerArgs {
  around: Surroundings;
  image: pulumi.Input<string>;
  part: string;
  port: number;
  /** haproxy.cfg, which is read at start only. */
  haproxy: string;
  files: docker.Volume;
  /** Opens when the files are written. */
  after: Gate;
}

/** PgBouncer and HAProxy in one container: the one address that clients know. */
export class Pooler extends pulumi.ComponentResource {
  readonly container: docker.Container;

  constructor(name: string, { around, image, part, port, haproxy, files, after }: PoolerArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:docker:Pooler", name, {}, options);
    this.container = service(
      around,
      {
        part,
        image,
        port,
        readAtStart: haproxy,
        uid: UIDS.pooler,
        memory: POOLER_MEMORY,
        volumes: [{ volumeName: files.name, containerPath: POOLER_FILES, readOnly: true }],
        healthcheck: `psql -XqAt -h /tmp -p ${port} -U pgbouncer pgbouncer -c 'show version'`,
      },
      { parent: this, dependsOn: after },
    );
    this.registerOutputs({});
  }
}
