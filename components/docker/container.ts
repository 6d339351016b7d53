import { createHash } from "node:crypto";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import Dockerode from "dockerode";

/** What all containers of a stack have in common. */
export interface Surroundings {
  stack: string;
  network: pulumi.Input<string>;
  /** A random name of this stack's state, so that another checkout's containers are never taken for ours. */
  owner: pulumi.Input<string>;
}

/** Prefix of everything that a stack makes on a Docker engine. */
export const dockerName = (stack: string, part: string): string => `pgladder-${stack}-${part}`;

const digest = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** Labels that say whose something is. */
export const labels = ({ stack, owner }: Surroundings, more: Record<string, pulumi.Input<string>> = {}) =>
  Object.entries({ "pgladder.stack": stack, "pgladder.owner": owner, ...more }).map(([label, value]) => ({ label, value }));

const LOGS = { logDriver: "json-file", logOpts: { "max-size": "20m", "max-file": "3" } };

export interface ServiceArgs {
  /** Host name in the network, and the end of the container's name. */
  part: string;
  image: pulumi.Input<string>;
  /** Passing by when a test asks whether the container works. */
  healthcheck: string;
  volumes: docker.types.input.ContainerVolume[];
  /** Mebibytes. */
  memory: number;
  /** Cores that it may use, from the first; without it, the time of one core, on any of them. */
  cores?: number;
  /** Id of the image's own user. */
  uid: number;
  command?: string[];
  /** Port published on 127.0.0.1. */
  port?: number;
  /** A text that is read at start only: when it changes the container is replaced. */
  readAtStart?: string;
}

/** A container that runs for good and restarts by itself; `up` waits until it is healthy. */
export function service(around: Surroundings, args: ServiceArgs, options: pulumi.CustomResourceOptions): docker.Container {
  const { part, image, healthcheck, volumes, memory, cores, uid, command, port, readAtStart = "" } = args;
  return new docker.Container(
    part,
    {
      name: dockerName(around.stack, part),
      hostname: part,
      image,
      user: String(uid),
      workingDir: "/",
      init: true,
      restart: "unless-stopped",
      networksAdvanced: [{ name: around.network, aliases: [part] }],
      volumes,
      memory,
      // Without a limit of its own, so that the memory limit can be raised and lowered in place.
      memorySwap: -1,
      // A set of cores can be changed in place. Parts that never change share the time of all cores: pinned to one, they would wait for each other.
      ...(cores === undefined ? { cpus: "1" } : { cpuSet: cores > 1 ? `0-${cores - 1}` : "0" }),
      // A node that is cut off must notice within Patroni's ttl: the resolver's default waits for 10 s.
      dnsOpts: ["timeout:1", "attempts:1"],
      shmSize: 8_192,
      stopTimeout: 60,
      destroyGraceSeconds: 60,
      securityOpts: ["no-new-privileges:true"],
      capabilities: { drops: ["ALL"] },
      wait: true,
      waitTimeout: 300,
      healthcheck: { tests: ["CMD-SHELL", healthcheck], interval: "3s", timeout: "5s", retries: 20, startPeriod: "5s" },
      // An edited check alone would not reach the container: the label makes it a replacement.
      labels: labels(around, { "pgladder.healthcheck": healthcheck, "pgladder.read-at-start": digest(readAtStart) }),
      ...(command ? { command } : {}),
      ...(port === undefined ? {} : { ports: [{ internal: port, external: port, ip: "127.0.0.1" }] }),
      ...LOGS,
    },
    options,
  );
}

export interface TaskArgs {
  part: string;
  image: pulumi.Input<string>;
  command: string[];
  uploads: docker.types.input.ContainerUpload[];
  volumes: docker.types.input.ContainerVolume[];
  /** No network at all; the stack's otherwise. */
  isolated?: boolean;
  uid: number;
  /** A new image alone does not make it run again. */
  ignoreImage?: boolean;
  /** The task runs again whenever one of these changes. */
  triggers: Record<string, pulumi.Input<string>>;
}

/** Something to wait for: an output that fails when what it stands for failed. Fits `dependsOn`. */
export type Gate = pulumi.Output<pulumi.Resource[]>;

/**
 * A container that runs once and must end with 0, else `up` fails with its log. It runs again when its arguments change,
 * and at the next `up` after a failure.
 *
 * @returns its id, known only after it succeeded.
 */
export function task(around: Surroundings, args: TaskArgs, options: pulumi.CustomResourceOptions): pulumi.Output<string> {
  const { part, image, command, uploads, volumes, isolated = false, uid, ignoreImage = false, triggers } = args;
  const name = dockerName(around.stack, part);
  const container = new docker.Container(
    part,
    {
      name,
      image,
      command,
      user: String(uid),
      workingDir: "/",
      uploads,
      volumes,
      mustRun: false,
      attach: true,
      logs: true,
      restart: "no",
      init: true,
      securityOpts: ["no-new-privileges:true"],
      labels: labels(around, { "pgladder.attempt": pulumi.output(attempt(name)), ...prefixed(triggers) }),
      ...(isolated ? { networkMode: "none" } : { networksAdvanced: [{ name: around.network, aliases: [part] }] }),
      ...LOGS,
    },
    ignoreImage ? { ...options, ignoreChanges: ["image"] } : options,
  );
  return pulumi.all([container.id, container.exitCode, container.containerLogs]).apply(([id, code, log]) => {
    if (code !== 0) throw new pulumi.RunError(`${part} ended with ${code}:\n${(log ?? "").trim()}`);
    return id;
  });
}

/** Opens when the output is known. */
export const gate = (output: pulumi.Output<unknown>): Gate => output.apply(() => []);

const prefixed = (triggers: Record<string, pulumi.Input<string>>) =>
  Object.fromEntries(Object.entries(triggers).map(([key, value]) => [`pgladder.trigger.${key}`, value]));

/**
 * Which attempt a task's container shall be: the one that is there when it ended well or still runs, a new one when it
 * failed. So a failed task is repeated by the next `up`, and a task that is done is left alone.
 */
async function attempt(name: string): Promise<string> {
  const found = await new Dockerode()
    .getContainer(name)
    .inspect()
    .catch((error: { statusCode?: number }) => {
      if (error.statusCode === 404) return undefined;
      throw error;
    });
  if (!found) return "first";
  const current = found.Config.Labels["pgladder.attempt"] ?? "first";
  return found.State.Running || found.State.ExitCode === 0 ? current : `after ${found.Id.slice(0, 12)}`;
}
