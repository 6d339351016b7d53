import type { ContainerCreateOptions, HealthConfig, HostConfig, MountSettings } from "dockerode";
import { isProps, isZero, mapOf, numberOf, objectsOf, type Props, textOf, textsOf, type Value } from "../bridge/values.ts";
import { parseDuration } from "./duration.ts";
import { labelMap } from "./volume.ts";

const MIB = 1024 * 1024;

/** The request that creates a container, made of checked inputs. Networks and uploads follow in requests of their own. */
export function containerRequest(inputs: Props): ContainerCreateOptions {
  const { exposed, bindings } = publishedPorts(objectsOf(inputs.ports));
  const command = textsOf(inputs.command);
  if (command.includes("")) throw new Error("values for command may not be empty");
  const { paths, binds, from } = volumeBinds(objectsOf(inputs.volumes));
  const request: ContainerCreateOptions = {
    name: textOf(inputs.name),
    Image: textOf(inputs.image),
    Hostname: textOf(inputs.hostname),
    Domainname: textOf(inputs.domainname),
    User: textOf(inputs.user),
    WorkingDir: textOf(inputs.workingDir),
    Tty: inputs.tty === true,
    OpenStdin: inputs.stdinOpen === true,
    StopSignal: textOf(inputs.stopSignal),
    Env: textsOf(inputs.envs),
    Labels: labelMap(inputs.labels),
    ExposedPorts: exposed,
    Volumes: paths,
    HostConfig: { ...hostConfig(inputs), PortBindings: bindings, Binds: binds, VolumesFrom: from },
    NetworkingConfig: {},
  };
  if (!isZero(inputs.platform)) request.platform = textOf(inputs.platform);
  if (!isZero(inputs.stopTimeout)) request.StopTimeout = numberOf(inputs.stopTimeout);
  if (command.length > 0) request.Cmd = command;
  if (!isZero(inputs.entrypoints)) request.Entrypoint = textsOf(inputs.entrypoints);
  const healthcheck = inputs.healthcheck;
  if (isProps(healthcheck)) request.Healthcheck = healthConfig(healthcheck);
  return request;
}

function healthConfig(check: Props): HealthConfig & { StartInterval?: number } {
  const time = (name: string): number => parseDuration(textOf(check[name])) ?? 0;
  return {
    Test: textsOf(check.tests),
    Interval: time("interval"),
    Timeout: time("timeout"),
    StartPeriod: time("startPeriod"),
    StartInterval: time("startInterval"),
    Retries: numberOf(check.retries),
  };
}

function hostConfig(inputs: Props): HostConfig {
  const capabilities = isProps(inputs.capabilities) ? inputs.capabilities : {};
  const security = textsOf(inputs.securityOpts);
  const config: HostConfig = {
    Privileged: inputs.privileged === true,
    PublishAllPorts: inputs.publishAllPorts === true,
    RestartPolicy: { Name: textOf(inputs.restart), MaximumRetryCount: numberOf(inputs.maxRetryCount) },
    AutoRemove: inputs.rm === true,
    ReadonlyRootfs: inputs.readOnly === true,
    Init: inputs.init === true,
    Runtime: textOf(inputs.runtime),
    NetworkMode: textOf(inputs.networkMode),
    IpcMode: textOf(inputs.ipcMode),
    PidMode: textOf(inputs.pidMode),
    UsernsMode: textOf(inputs.usernsMode),
    CgroupParent: textOf(inputs.cgroupParent),
    LogConfig: { Type: textOf(inputs.logDriver), Config: mapOf(inputs.logOpts) },
    Mounts: objectsOf(inputs.mounts).map(mountRequest),
    Tmpfs: mapOf(inputs.tmpfs),
    Sysctls: mapOf(inputs.sysctls),
    StorageOpt: mapOf(inputs.storageOpts),
    ExtraHosts: objectsOf(inputs.hosts).map((host) => `${textOf(host.host)}:${textOf(host.ip)}`),
    Dns: textsOf(inputs.dns),
    DnsOptions: textsOf(inputs.dnsOpts),
    DnsSearch: textsOf(inputs.dnsSearches),
    GroupAdd: textsOf(inputs.groupAdds),
    CapAdd: textsOf(capabilities.adds),
    CapDrop: textsOf(capabilities.drops),
    SecurityOpt: security.filter((option) => option !== "systempaths=unconfined"),
    Ulimits: objectsOf(inputs.ulimits).map((limit) => ({
      Name: textOf(limit.name),
      Soft: numberOf(limit.soft),
      Hard: numberOf(limit.hard),
    })),
    Devices: objectsOf(inputs.devices).map((device) => ({
      PathOnHost: textOf(device.hostPath),
      PathInContainer: textOf(device.containerPath) || textOf(device.hostPath),
      CgroupPermissions: textOf(device.permissions),
    })),
    Memory: numberOf(inputs.memory) * MIB,
    MemoryReservation: numberOf(inputs.memoryReservation) * MIB,
    MemorySwap: memorySwap(inputs.memorySwap),
    ShmSize: numberOf(inputs.shmSize) * MIB,
    CpuShares: numberOf(inputs.cpuShares),
    CpusetCpus: textOf(inputs.cpuSet),
  };
  if (!isZero(inputs.cgroupnsMode)) Object.assign(config, { CgroupnsMode: textOf(inputs.cgroupnsMode) });
  if (security.includes("systempaths=unconfined")) Object.assign(config, { MaskedPaths: [], ReadonlyPaths: [] });
  if (!isZero(inputs.cpus)) {
    const cpus = Number(textOf(inputs.cpus));
    if (!(cpus > 0)) throw new Error(`Error setting cpus: failed to parse ${textOf(inputs.cpus)} as a rational number`);
    config.NanoCpus = Math.round(cpus * 1e9);
  } else {
    config.CpuPeriod = numberOf(inputs.cpuPeriod);
    config.CpuQuota = numberOf(inputs.cpuQuota);
  }
  return config;
}

/** Swap in MiB; −1 means without limit and 0 that the engine chooses. */
export function memorySwap(value: Value | undefined): number {
  const swap = numberOf(value);
  return swap > 0 ? swap * MIB : swap;
}

function publishedPorts(ports: Props[]): {
  exposed: Record<string, object>;
  bindings: Record<string, { HostIp: string; HostPort: string }[]>;
} {
  const exposed: Record<string, object> = {};
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const port of ports) {
    const key = `${numberOf(port.internal)}/${textOf(port.protocol)}`;
    exposed[key] = {};
    bindings[key] ??= [];
    bindings[key].push({ HostIp: textOf(port.ip), HostPort: String(numberOf(port.external)) });
  }
  return { exposed, bindings };
}

function volumeBinds(volumes: Props[]): { paths: Record<string, object>; binds: string[]; from: string[] } {
  const paths: Record<string, object> = {};
  const binds: string[] = [];
  const from: string[] = [];
  for (const volume of volumes) {
    const [source, path] = [textOf(volume.fromContainer), textOf(volume.containerPath)];
    const name = textOf(volume.hostPath) || textOf(volume.volumeName);
    if (source === "" && path === "") throw new Error("Unable to parse volumes: volume entry without container path or source container");
    if (source !== "" && path !== "") throw new Error("Unable to parse volumes: both a container and a path specified in a volume entry");
    if (source !== "") from.push(source);
    else {
      paths[path] = {};
      const relabel = textOf(volume.selinuxRelabel);
      const mode = `${volume.readOnly === true ? "ro" : "rw"}${relabel === "" ? "" : `,${relabel}`}`;
      if (name !== "") binds.push(`${name}:${path}:${mode}`);
    }
  }
  return { paths, binds, from };
}

function mountRequest(mount: Props): MountSettings {
  const type = textOf(mount.type) as MountSettings["Type"];
  const request: MountSettings = {
    Type: type,
    Target: textOf(mount.target),
    Source: textOf(mount.source),
    ReadOnly: mount.readOnly === true,
  };
  const [bind, volume, tmpfs] = [mount.bindOptions, mount.volumeOptions, mount.tmpfsOptions];
  if (type === "bind" && isProps(bind)) {
    request.BindOptions = { Propagation: textOf(bind.propagation) as NonNullable<MountSettings["BindOptions"]>["Propagation"] };
  }
  if (type === "volume" && isProps(volume)) {
    request.VolumeOptions = {
      NoCopy: volume.noCopy === true,
      Labels: labelMap(volume.labels),
      DriverConfig: { Name: textOf(volume.driverName), Options: mapOf(volume.driverOptions) },
    };
  }
  if (type === "tmpfs" && isProps(tmpfs)) {
    request.TmpfsOptions = { SizeBytes: numberOf(tmpfs.sizeBytes), Mode: numberOf(tmpfs.mode) };
  }
  return request;
}
