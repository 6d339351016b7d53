import type { ContainerInspectInfo } from "dockerode";
import { compact, isZero, type Props, textOf, type Value } from "../bridge/values.ts";
import { formatDuration } from "./duration.ts";

const MIB = 1024 * 1024;
const inMib = (bytes: number | undefined): number => ((bytes ?? 0) > 0 ? Math.trunc((bytes ?? 0) / MIB) : (bytes ?? 0));

/** What the client's types leave out of the engine's answer. */
interface Untyped {
  Platform?: string;
  HostConfig: { UsernsMode?: string; Mounts?: Mounted[]; Ulimits?: Limit[] };
  Config: { StopTimeout?: number; StopSignal?: string; Healthcheck?: Health };
  NetworkSettings: { Bridge?: string };
}

interface Health {
  Test?: string[];
  Interval?: number;
  Timeout?: number;
  StartPeriod?: number;
  StartInterval?: number;
  Retries?: number;
}

/**
 * What the real provider records of a running or stopped container, after creation and at every refresh.
 * Environment, labels, uploads and volumes are not read back. A stopped container that should run is recorded with
 * `mustRun: false`, so that the next update finds a difference and starts it.
 * @param prior the state, or the inputs of a container that was just made.
 */
export function observe(info: ContainerInspectInfo, prior: Props): Props {
  const { Config: config, HostConfig: host, State: state, NetworkSettings: net } = info;
  const more = info as unknown as Untyped;
  const mustRun = prior.mustRun === true;
  const observed = compact({
    bridge: more.NetworkSettings.Bridge,
    networkDatas: Object.entries(net.Networks).map(([name, endpoint]) => ({
      networkName: name,
      ipAddress: endpoint.IPAddress,
      ipPrefixLength: endpoint.IPPrefixLen,
      gateway: endpoint.Gateway,
      globalIpv6Address: endpoint.GlobalIPv6Address,
      globalIpv6PrefixLength: endpoint.GlobalIPv6PrefixLen,
      ipv6Gateway: endpoint.IPv6Gateway,
      macAddress: endpoint.MacAddress,
    })),
    name: info.Name.replace(/^\//, ""),
    image: textOf(prior.image).startsWith("sha256:") ? info.Image : config.Image,
    rm: host.AutoRemove,
    readOnly: host.ReadonlyRootfs,
    hostname: config.Hostname,
    domainname: config.Domainname,
    command: config.Cmd,
    entrypoints: config.Entrypoint as Value,
    user: config.User,
    workingDir: config.WorkingDir,
    tty: config.Tty,
    stdinOpen: config.OpenStdin,
    stopSignal: more.Config.StopSignal ?? "",
    stopTimeout: more.Config.StopTimeout ?? 0,
    dns: host.Dns,
    dnsOpts: host.DnsOptions,
    dnsSearches: host.DnsSearch,
    securityOpts: host.SecurityOpt as Value,
    publishAllPorts: host.PublishAllPorts,
    restart: host.RestartPolicy?.Name,
    maxRetryCount: host.RestartPolicy?.MaximumRetryCount,
    init: host.Init ?? false,
    runtime: host.Runtime,
    platform: more.Platform,
    mounts: (more.HostConfig.Mounts ?? []).map(mountState),
    tmpfs: host.Tmpfs,
    hosts: (host.ExtraHosts ?? []).map((entry: string) => ({ host: entry.split(":")[0] ?? "", ip: entry.split(":")[1] ?? "" })),
    privileged: host.Privileged,
    memory: inMib(host.Memory),
    memoryReservation: inMib(host.MemoryReservation),
    memorySwap: inMib(host.MemorySwap),
    shmSize: inMib(host.ShmSize),
    cpuShares: host.CpuShares,
    cpuSet: host.CpusetCpus,
    logDriver: host.LogConfig?.Type,
    logOpts: isZero(prior.logOpts) ? undefined : (host.LogConfig?.Config as Value),
    storageOpts: host.StorageOpt,
    networkMode: host.NetworkMode,
    usernsMode: more.HostConfig.UsernsMode,
    sysctls: host.Sysctls,
    ipcMode: host.IpcMode,
    groupAdds: host.GroupAdd,
  });
  if ((host.NanoCpus ?? 0) > 0) observed.cpus = String((host.NanoCpus ?? 0) / 1e9);
  if (!isZero(prior.pidMode)) observed.pidMode = host.PidMode ?? "";
  if ((host.CapAdd?.length ?? 0) > 0 || (host.CapDrop?.length ?? 0) > 0) {
    observed.capabilities = compact({ adds: host.CapAdd as Value, drops: host.CapDrop as Value });
  }
  if (!isZero(prior.ulimits)) {
    observed.ulimits = (more.HostConfig.Ulimits ?? []).map((limit) => ({ name: limit.Name, soft: limit.Soft, hard: limit.Hard }));
  }
  if (more.Config.Healthcheck !== undefined) observed.healthcheck = healthState(more.Config.Healthcheck);
  if ((state.Running || mustRun) && !isZero(prior.ports)) observed.ports = portState(net.Ports);
  if (!state.Running) {
    observed.exitCode = state.ExitCode;
    if (mustRun) observed.mustRun = false;
  }
  return observed;
}

interface Limit {
  Name: string;
  Soft: number;
  Hard: number;
}

function healthState(check: Health): Props {
  return {
    tests: check.Test ?? [],
    interval: formatDuration(check.Interval ?? 0),
    timeout: formatDuration(check.Timeout ?? 0),
    startPeriod: formatDuration(check.StartPeriod ?? 0),
    startInterval: formatDuration(check.StartInterval ?? 0),
    retries: check.Retries ?? 0,
  };
}

function portState(ports: ContainerInspectInfo["NetworkSettings"]["Ports"]): Props[] {
  return Object.entries(ports)
    .map(([key, bindings]) => ({ internal: Number(key.split("/")[0]), protocol: key.split("/")[1] ?? "", bindings: bindings ?? [] }))
    .sort((one, other) => one.internal - other.internal)
    .flatMap(({ internal, protocol, bindings }) =>
      bindings.map((binding) => ({ internal, external: Number(binding.HostPort), ip: binding.HostIp, protocol })),
    );
}

interface Mounted {
  Type: string;
  Target: string;
  Source?: string;
  ReadOnly?: boolean;
  BindOptions?: { Propagation?: string };
  VolumeOptions?: { NoCopy?: boolean; Labels?: Record<string, string>; DriverConfig?: { Name?: string; Options?: Record<string, string> } };
  TmpfsOptions?: { SizeBytes?: number; Mode?: number };
}

function mountState(mount: Mounted): Props {
  const { BindOptions: bind, VolumeOptions: volume, TmpfsOptions: tmpfs } = mount;
  return compact({
    target: mount.Target,
    source: mount.Source ?? "",
    type: mount.Type,
    readOnly: mount.ReadOnly ?? false,
    bindOptions: bind && { propagation: bind.Propagation ?? "" },
    volumeOptions:
      volume &&
      compact({
        noCopy: volume.NoCopy ?? false,
        labels: Object.entries(volume.Labels ?? {}).map(([label, value]) => ({ label, value })),
        driverName: volume.DriverConfig?.Name,
        driverOptions: volume.DriverConfig?.Options,
      }),
    tmpfsOptions: tmpfs && compact({ sizeBytes: tmpfs.SizeBytes, mode: tmpfs.Mode }),
  });
}
