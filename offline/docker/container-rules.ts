import { atLeast, flag, integer, list, map, matches, object, type Rule, type Rules, set, text } from "../bridge/rules.ts";
import { isProps, isZero, listOf, type Props, textOf, type Value } from "../bridge/values.ts";
import { parseDuration } from "./duration.ts";
import { labelSet } from "./volume.ts";

const duration = text({
  default: "0s",
  test: (value) => {
    const length = parseDuration(textOf(value));
    if (length === undefined) return `'${value}' is not a valid duration`;
    return length < 0 ? `'${value}' duration must not be negative` : undefined;
  },
});

const absolutePath = (value: Value): string | undefined =>
  /^[a-zA-Z]:[\\/]|^\//.test(textOf(value)) ? undefined : `'${value}' must be an absolute path`;

/** An empty new value leaves the image's own in place. */
const emptyIsUnset = (_old: Value | undefined, now: Value): boolean => now === "";

/** Published ports are the same when every container port keeps its protocol, address and host port; an unset host port is any. */
function samePorts(old: Value | undefined, now: Value): boolean {
  const [before, after] = [listOf(old).filter(isProps), listOf(now).filter(isProps)];
  const matching = (port: Props): Props | undefined =>
    after.find((other) => other.internal === port.internal && other.protocol === port.protocol);
  return (
    before.length === after.length &&
    before.every((port) => {
      const other = matching(port);
      const external = other?.external;
      return other !== undefined && (isZero(external) || external === port.external) && other.ip === port.ip;
    })
  );
}

const R = { replaces: true } as const;
const CR = { computed: true, replaces: true } as const;
const size: Rule = integer({ test: atLeast(0) });
const unsupported = { unsupported: true } as const;

/** docker.Container of @pulumi/docker 5.2: what may be set, what the provider fills in, what makes a new container. */
export const CONTAINER_RULES: Rules = {
  name: text(R),
  image: text({ required: true, replaces: true }),
  command: list(text(), CR),
  entrypoints: list(text(), CR),
  envs: set(text(), CR),
  user: text({ ...R, same: emptyIsUnset }),
  workingDir: text({ ...R, same: emptyIsUnset }),
  hostname: text(CR),
  domainname: text(R),
  labels: { ...labelSet, ...CR },
  init: flag({ computed: true }),
  tty: flag({ default: false, ...R }),
  stdinOpen: flag({ default: false, ...R }),

  start: flag({ default: true }),
  mustRun: flag({ default: true }),
  restart: text({ default: "no", test: matches(/^(no|on-failure|always|unless-stopped)$/) }),
  maxRetryCount: integer(),
  rm: flag({ default: false }),
  attach: flag({ default: false }),
  logs: flag({ default: false }),
  wait: flag({ default: false }),
  waitTimeout: integer({ default: 60 }),
  healthcheck: object(
    {
      tests: list(text()),
      interval: duration,
      timeout: duration,
      startPeriod: duration,
      startInterval: duration,
      retries: integer({ default: 0, test: atLeast(0) }),
    },
    { computed: true },
  ),
  stopSignal: text(CR),
  stopTimeout: integer(CR),
  destroyGraceSeconds: integer(),
  removeVolumes: flag({ default: true }),
  containerReadRefreshTimeoutMilliseconds: integer({ default: 15000 }),

  memory: size,
  memoryReservation: integer({ default: 0, test: atLeast(0) }),
  memorySwap: integer({ test: atLeast(-1) }),
  shmSize: integer({ ...CR, test: atLeast(0) }),
  cpus: text(R),
  cpuShares: size,
  cpuSet: text({ test: matches(/^\d+([,-]\d+)*$/) }),
  cpuPeriod: size,
  cpuQuota: size,
  ulimits: set(object({ name: text({ required: true }), soft: integer({ required: true }), hard: integer({ required: true }) }), R),

  readOnly: flag({ default: false, ...R }),
  privileged: flag(R),
  capabilities: object({ adds: set(text()), drops: set(text()) }, R),
  securityOpts: set(text(), CR),
  groupAdds: set(text(), R),
  sysctls: map(R),
  storageOpts: map(R),
  ipcMode: text(CR),
  pidMode: text(R),
  usernsMode: text(R),
  cgroupnsMode: text(R),
  cgroupParent: text(R),
  runtime: text(CR),
  platform: text(CR),
  devices: set(object({ hostPath: text({ required: true }), containerPath: text(), permissions: text({ default: "rwm" }) }), R),
  deviceCgroupRules: set(text(), unsupported),
  gpus: text(unsupported),
  deviceRequests: set(object({}), unsupported),
  deviceReadBps: set(object({}), unsupported),
  deviceReadIops: set(object({}), unsupported),
  deviceWriteBps: set(object({}), unsupported),
  deviceWriteIops: set(object({}), unsupported),

  mounts: set(
    object({
      target: text({ required: true }),
      source: text(),
      type: text({ required: true, test: matches(/^(bind|volume|tmpfs)$/) }),
      readOnly: flag(),
      bindOptions: object({ propagation: text({ test: matches(/^(private|rprivate|shared|rshared|slave|rslave)$/) }) }),
      volumeOptions: object({
        noCopy: flag(),
        labels: labelSet,
        driverName: text(),
        driverOptions: map(),
        subpath: text(unsupported),
      }),
      tmpfsOptions: object({ sizeBytes: integer(), mode: integer() }),
    }),
    // Terraform's schema marks the list, not its fields: another target in the same number of mounts is an update that does nothing.
    { replaces: "length" },
  ),
  volumes: set(
    object({
      fromContainer: text(),
      containerPath: text(),
      hostPath: text({ test: absolutePath }),
      volumeName: text(),
      readOnly: flag(),
      selinuxRelabel: text({ test: matches(/^(z|Z)$/) }),
    }),
    R,
  ),
  tmpfs: map(),
  uploads: set(
    object({
      file: text({ required: true }),
      content: text(),
      contentBase64: text({
        test: (value) =>
          Buffer.from(textOf(value), "base64").toString("base64") === value ? undefined : `'${value}' is not base64 decodeable`,
      }),
      source: text(),
      sourceHash: text(),
      executable: flag({ default: false }),
      permissions: text({ test: matches(/^0[0-7]{3}$/) }),
    }),
    R,
  ),

  ports: list(
    object({
      internal: integer({ required: true }),
      external: integer({ computed: true }),
      ip: text({ default: "0.0.0.0" }),
      protocol: text({ default: "tcp" }),
    }),
    { ...R, same: samePorts },
  ),
  publishAllPorts: flag(R),
  networkMode: text({ default: "bridge", ...R }),
  networksAdvanced: set(
    object({
      name: text({ required: true }),
      aliases: set(text()),
      ipv4Address: text(),
      ipv6Address: text(),
      linkLocalIps: set(text()),
      macAddress: text(),
      driverOpts: set(text()),
      gwPriority: integer({ test: atLeast(0) }),
    }),
    R,
  ),
  hosts: set(object({ ip: text({ required: true }), host: text({ required: true }) }), R),
  dns: set(text(), R),
  dnsOpts: set(text(), R),
  dnsSearches: set(text(), R),
  logDriver: text(CR),
  logOpts: map(R),

  bridge: text({ output: true }),
  containerLogs: text({ output: true }),
  exitCode: integer({ output: true }),
  networkDatas: list(object({}), { output: true }),
};
