import { createHash } from "node:crypto";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { type MirrorFile, UIDS } from "../../plan/mirror.ts";
import { dockerName, type Surroundings, service, task } from "./container.ts";

export const AGENT_FILES = "/etc/pgladder";
const AGENT_MEMORY = 512;

export interface FilesArgs {
  around: Surroundings;
  image: pulumi.Input<string>;
  parts: readonly string[];
  /** Every file of every part; secret. */
  files: pulumi.Output<MirrorFile[]>;
}

/** A volume of files for each part, filled by the agent: what is in them changes without replacing a container. */
export class Files extends pulumi.ComponentResource {
  readonly volumes: Readonly<Record<string, docker.Volume>>;
  /** Hash of all files; known when they are written. */
  readonly written: pulumi.Output<string>;

  constructor(name: string, { around, image, parts, files }: FilesArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:docker:Files", name, {}, options);
    const labels = [
      { label: "pgladder.stack", value: around.stack },
      { label: "pgladder.owner", value: around.owner },
    ];
    const volume = (part: string) =>
      new docker.Volume(`files-${part}`, { name: dockerName(around.stack, `files-${part}`), labels }, { parent: this });
    this.volumes = Object.fromEntries(parts.map((part) => [part, volume(part)]));
    const content = pulumi.secret(files.apply((list) => JSON.stringify({ files: list })));
    const hash = pulumi.unsecret(content.apply((text) => createHash("sha256").update(text).digest("hex")));
    const done = task(
      around,
      {
        part: "agent-files",
        image,
        command: ["files"],
        // The only container that runs as root: it gives each file to its reader.
        uid: 0,
        isolated: true,
        uploads: [{ file: "/input/files.json", content, permissions: "0400" }],
        volumes: parts.map((part) => ({ volumeName: this.volumes[part]!.name, containerPath: `/volumes/${part}` })),
        triggers: { files: hash },
      },
      { parent: this },
    );
    this.written = pulumi.all([done, hash]).apply(([, value]) => value);
    this.registerOutputs({ written: this.written });
  }
}

export interface AgentArgs {
  around: Surroundings;
  image: pulumi.Input<string>;
  /** A new node image makes the agent look again. */
  nodeImage: pulumi.Input<string>;
  files: Files;
  part: string;
  /** The application's migrations by path. */
  schema: Readonly<Record<string, string>>;
  /** The cluster and the pooler are there. */
  after: pulumi.Resource[];
}

/** The agent's tasks of one `up`, and the mover that goes on after it. */
export class Agent extends pulumi.ComponentResource {
  /** Known when settings and schema are in place. */
  readonly ready: pulumi.Output<boolean>;

  constructor(
    name: string,
    { around, image, nodeImage, files, part, schema, after }: AgentArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super("pgladder:docker:Agent", name, {}, options);
    const child = { parent: this, dependsOn: after };
    const volumes = [{ volumeName: files.volumes[part]!.name, containerPath: AGENT_FILES, readOnly: true }];
    const configured = task(
      around,
      {
        part: "agent-configure",
        image,
        uid: UIDS.agent,
        command: ["configure"],
        uploads: [],
        volumes,
        triggers: { files: files.written, nodes: nodeImage },
      },
      child,
    );
    const uploads = Object.entries(schema).map(([path, content]) => ({ file: `/input/schema/${path}`, content, permissions: "0444" }));
    const migrated = task(
      around,
      {
        part: "agent-migrate",
        image,
        uid: UIDS.agent,
        command: ["migrate"],
        uploads,
        volumes,
        triggers: { schema: createHash("sha256").update(JSON.stringify(uploads)).digest("hex"), configured },
      },
      child,
    );
    service(
      around,
      {
        part,
        image,
        volumes,
        uid: UIDS.agent,
        memory: AGENT_MEMORY,
        command: ["move"],
        // The mover writes its status after every look at the cluster.
        healthcheck: 'test -n "$(find /run/ladder/status.json -mmin -1)"',
      },
      child,
    );
    this.ready = migrated.apply(() => true);
    this.registerOutputs({ ready: this.ready });
  }
}
