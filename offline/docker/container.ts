import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { Container, EndpointSettings } from "dockerode";
import { InitError, type Session } from "../bridge/handler.ts";
import { type Definition, tableHandler } from "../bridge/table.ts";
import { isZero, numberOf, objectsOf, type Props, textOf, textsOf } from "../bridge/values.ts";
import { observe } from "./container-observe.ts";
import { CONTAINER_RULES } from "./container-rules.ts";
import { containerRequest, memorySwap } from "./container-spec.ts";
import { docker, isMissing, messageOf, statusOf } from "./engine.ts";
import { upload } from "./upload.ts";

/** The real provider's own key for its time-outs, 20 minutes in nanoseconds. */
const TIMEOUTS = "e2bfb730-ecaa-11e6-8f88-34363bc7c4c0";
const MIB = 1024 * 1024;
const SHARED_WITH_ENGINE = ["restart", "maxRetryCount", "cpuShares", "memory", "memoryReservation", "cpuSet", "memorySwap"] as const;

const definition: Definition = {
  meta: { [TIMEOUTS]: { create: 1.2e12, delete: 1.2e12, update: 1.2e12 }, schema_version: "2" },
  named: true,
  deleteBeforeReplace: true,
  rules: CONTAINER_RULES,

  async create(inputs, session) {
    const image = textOf(inputs.image);
    await ensureImage(image).catch((error: unknown) => {
      throw new Error(`Unable to create container with image ${image}: ${messageOf(error)}`);
    });
    const container = await docker()
      .createContainer(containerRequest(inputs))
      .catch((error: unknown) => {
        throw new Error(`Unable to create container: ${messageOf(error)}`);
      });
    try {
      await connectNetworks(container, objectsOf(inputs.networksAdvanced));
      for (const file of objectsOf(inputs.uploads)) await upload(container, file);
      if (inputs.start === true) {
        await container.start().catch((error: unknown) => {
          throw new Error(`Unable to start container: ${messageOf(error)}`);
        });
        if (inputs.wait === true) await waitHealthy(container, numberOf(inputs.waitTimeout), session);
      }
      const attached = inputs.attach === true ? await attachUntilEnd(container, inputs) : {};
      return { id: container.id, outputs: { ...attached, ...((await read(container.id, { ...inputs, ...attached })) ?? {}) } };
    } catch (error) {
      throw new InitError(messageOf(error), container.id, {});
    }
  },

  read,

  async update(id, state, planned) {
    const container = docker().getContainer(id);
    if (state.mustRun === false && planned.mustRun === true && planned.start === true) {
      await container.start().catch((error: unknown) => {
        if (statusOf(error) !== 304) throw new Error(`Unable to start container: ${messageOf(error)}`);
      });
    }
    const changed = SHARED_WITH_ENGINE.some((name) => state[name] !== planned[name] && !(isZero(state[name]) && isZero(planned[name])));
    if (!changed) return;
    const request = {
      RestartPolicy: { Name: textOf(planned.restart), MaximumRetryCount: numberOf(planned.maxRetryCount) },
      CpuShares: numberOf(planned.cpuShares),
      Memory: numberOf(planned.memory) * MIB,
      MemoryReservation: numberOf(planned.memoryReservation) * MIB,
      CpusetCpus: textOf(planned.cpuSet),
      MemorySwap: memorySwap(planned.memorySwap),
    };
    await container.update(request).catch((error: unknown) => {
      throw new Error(`Unable to update a container: ${messageOf(error)}`);
    });
  },

  async delete(id, state) {
    const container = docker().getContainer(id);
    if (state.attach !== true) {
      await container.stop({ t: numberOf(state.destroyGraceSeconds) }).catch((error: unknown) => {
        if (statusOf(error) !== 304 && !isMissing(error)) throw new Error(`Error stopping container ${id}: ${messageOf(error)}`);
      });
    }
    await container.remove({ force: true, v: state.removeVolumes === true }).catch((error: unknown) => {
      const underWay = messageOf(error).includes("is already in progress");
      if (!underWay && !isMissing(error)) throw new Error(`Error deleting container ${id}: ${messageOf(error)}`);
    });
    await container.wait({ condition: state.rm === true ? "removed" : "not-running" }).catch((error: unknown) => {
      if (!isMissing(error)) throw new Error(`Error waiting for container removal '${id}': ${messageOf(error)}`);
    });
  },
};

/** Looks for the image in the engine and pulls it when it is not there. */
async function ensureImage(image: string): Promise<void> {
  try {
    await docker().getImage(image).inspect();
  } catch (error) {
    if (!isMissing(error) || image.startsWith("sha256:")) throw error;
    const progress = await docker().pull(image);
    await new Promise<void>((resolve, reject) => {
      docker().modem.followProgress(progress, (failure) => (failure ? reject(failure) : resolve()));
    });
  }
}

async function connectNetworks(container: Container, networks: readonly Props[]): Promise<void> {
  if (networks.length === 0) return;
  await docker()
    .getNetwork("bridge")
    .disconnect({ Container: container.id })
    .catch((error: unknown) => {
      if (!messageOf(error).includes("is not connected to"))
        throw new Error(`Unable to disconnect the default network: ${messageOf(error)}`);
    });
  for (const entry of networks) {
    const name = textOf(entry.name);
    const endpoint: EndpointSettings = {
      Aliases: textsOf(entry.aliases),
      IPAMConfig: {
        IPv4Address: textOf(entry.ipv4Address),
        IPv6Address: textOf(entry.ipv6Address),
        LinkLocalIPs: textsOf(entry.linkLocalIps),
      },
      MacAddress: textOf(entry.macAddress),
      DriverOpts: Object.fromEntries(textsOf(entry.driverOpts).map((option) => option.split(/=(.*)/s).slice(0, 2))),
    };
    await docker()
      .getNetwork(name)
      .connect({ Container: container.id, EndpointConfig: endpoint })
      .catch((error: unknown) => {
        throw new Error(`Unable to connect to network '${name}': ${messageOf(error)}`);
      });
  }
}

async function waitHealthy(container: Container, seconds: number, session: Session): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const { State: state } = await container.inspect();
    if (state.Health === undefined) {
      throw new Error(
        "you have supplied a 'wait' argument, but the container does not have a healthcheck defined. " +
          "Please remove the 'wait' argument or add a 'healthcheck' attribute",
      );
    }
    if (state.Health.Status === "healthy") return;
    session.cancelled.throwIfAborted();
    if (Date.now() >= deadline) throw new Error("container failed to be in healthy state");
    await new Promise((resolve) => setTimeout(resolve, Math.min(1000, Math.max(1, deadline - Date.now()))));
  }
}

/** Waits for the container's end. @returns its log when asked for. */
async function attachUntilEnd(container: Container, inputs: Props): Promise<Props> {
  const logs = inputs.logs === true ? followLogs(container, inputs.tty === true) : undefined;
  await container.wait({ condition: "not-running" }).catch((error: unknown) => {
    throw new Error(`Unable to wait container end of execution: ${messageOf(error)}`);
  });
  return logs === undefined ? {} : { containerLogs: await logs };
}

async function followLogs(container: Container, tty: boolean): Promise<string> {
  const stream = await container.logs({ stdout: true, stderr: true, follow: true });
  if (tty) return (await buffer(stream)).toString("utf8");
  const merged = new PassThrough();
  docker().modem.demuxStream(stream, merged, merged);
  stream.on("end", () => merged.end());
  stream.on("error", (error: Error) => merged.destroy(error));
  return (await buffer(merged)).toString("utf8");
}

async function read(id: string, prior: Props): Promise<Props | undefined> {
  try {
    return observe(await docker().getContainer(id).inspect(), prior);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new Error(messageOf(error));
  }
}

export const container = tableHandler(definition);
