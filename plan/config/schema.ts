/** The configuration's keys (DESIGN §1), each with the schema of its value. docs/config.md explains them. */
import * as z from "zod";
import { DISKS, STAGES, TARGETS, WORKLOADS } from "../types.ts";
import { boolean, duration, integer, list, map, object, oneOf, size, text, value } from "./values.ts";

/** Major versions that the images hold, and that RDS is asked for: the moves need 17's fail-over slots. */
export const POSTGRES_VERSIONS = [17] as const;

const IDENTIFIER = /^[a-z_][a-z0-9_]{0,62}$/;
/** Names of the application's own objects, as they are spelt: many schemas have capitals in them. */
const column = text(/^[A-Za-z_]\w{0,62}$/, "a column name (letters, 0-9 and _)");
const region = text(/^[a-z]{2}(-[a-z]+)+-\d$/, "a region such as us-east-1");
const image = text(/^[a-z0-9][\w.\-/:@]*$/, "an image such as debian:trixie-slim");

/** Leaves room for the longest name that the pooler derives, `_shard_255_read`, within PostgreSQL's 63 bytes. */
const database = value(
  "a lower-case identifier of at most 48 characters other than postgres, pgbouncer, template*, *_read and *_session",
  (raw) =>
    typeof raw === "string" && /^[a-z_][a-z0-9_]{0,47}$/.test(raw) && !/^(postgres|pgbouncer|template.*)$|_(read|session)$/.test(raw)
      ? raw
      : undefined,
);

const PERIODS = ["day", "week", "month", "quarter", "year"] as const;

const partition = object({
  by: column,
  every: oneOf(PERIODS).exactOptional(),
  ahead: integer(1, 24).exactOptional(),
  keep: text(/^[1-9]\d{0,3} (day|week|month|quarter|year)s?$/, 'a time such as "12 months"').exactOptional(),
  list: map(
    IDENTIFIER,
    "a partition name (a-z, 0-9 and _)",
    list(
      value("a value as text or number", (raw) => (typeof raw === "string" || typeof raw === "number" ? String(raw) : undefined)),
      "values",
    ),
  ).exactOptional(),
  hash: integer(2, 1024).exactOptional(),
});

const table = object({
  partition: partition.exactOptional(),
  shardBy: column.exactOptional(),
  global: boolean().exactOptional(),
  autovacuum: oneOf(["hot", "warm"]).exactOptional(),
  tenant: column.exactOptional(),
  plain: boolean().exactOptional(),
});

const machine = {
  class: text(/./, "an instance class").exactOptional(),
  cores: integer(1, 192).exactOptional(),
  memory: size("512MB").exactOptional(),
  storage: integer(10, 65_536, "GiB as a whole number from 10 to 65536").exactOptional(),
  disk: oneOf(DISKS).exactOptional(),
};

const threshold = <T extends z.ZodType>(item: T) =>
  object({ warning: z.exactOptional(item), critical: z.exactOptional(item) }).exactOptional();
const percent = integer(1, 100, "a percentage from 1 to 100");

/** Schema by key, without the `pgladder:` in front. */
export const SCHEMA = {
  stage: oneOf(STAGES),
  target: oneOf(TARGETS),
  schema: text(/^[^\0]+$/, "a folder of SQL migrations"),
  tables: map(/^([A-Za-z_]\w{0,62}\.)?[A-Za-z_]\w{0,62}$/, "a table name, with or without its schema", table),
  database,
  port: integer(1024, 65_535, "a port from 1024 to 65535"),
  postgresVersion: oneOf(POSTGRES_VERSIONS),
  primary: object(machine),
  replicas: object({ ...machine, count: integer(0, 15).exactOptional() }),
  pooler: object({
    count: integer(1, 16).exactOptional(),
    processes: integer(1, 64).exactOptional(),
    maxClientConn: integer(10, 100_000).exactOptional(),
    defaultPoolSize: integer(1, 5_000).exactOptional(),
    minPoolSize: integer(0, 5_000).exactOptional(),
    reservePoolSize: integer(0, 5_000).exactOptional(),
    sessionPoolSize: integer(1, 5_000).exactOptional(),
    maxDbConnections: integer(1, 5_000).exactOptional(),
    maxUserConnections: integer(1, 5_000).exactOptional(),
    reservePoolTimeout: duration().exactOptional(),
    serverConnectTimeout: duration().exactOptional(),
    serverIdleTimeout: duration().exactOptional(),
    serverLifetime: duration().exactOptional(),
    clientIdleTimeout: duration().exactOptional(),
  }),
  cache: object({
    groups: integer(1, 90).exactOptional(),
    replicas: integer(0, 5).exactOptional(),
    memory: size("64MB").exactOptional(),
    class: text(
      /^cache\.(t4g\.(micro|small|medium)|[mr]7g\.(large|xlarge|(2|4|8|12|16)xlarge))$/,
      "an ElastiCache class such as cache.r7g.large",
    ).exactOptional(),
  }),
  shards: object({
    ...machine,
    count: integer(1, 256).exactOptional(),
    buckets: oneOf([64, 128, 256, 512, 1024]).exactOptional(),
    splits: map(/^[1-9]\d{0,2}$/, "a shard's number from 1", integer(0, 254)).exactOptional(),
    replicas: integer(0, 15).exactOptional(),
    poolSize: integer(1, 5_000).exactOptional(),
  }),
  workers: object({ ...machine, count: integer(1, 256).exactOptional(), standbys: integer(0, 15).exactOptional() }),
  settings: map(
    /^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$/,
    "a PostgreSQL parameter's name in lower case",
    value("a parameter's value as text, number, true or false", (raw) =>
      typeof raw === "boolean" ? (raw ? "on" : "off") : typeof raw === "string" || typeof raw === "number" ? String(raw) : undefined,
    ),
  ),
  workload: oneOf(WORKLOADS),
  synchronous: boolean(),
  region,
  replicaRegions: list(region, "regions"),
  engine: oneOf(["rds", "ec2"]),
  aws: object({
    vpcId: text(/^vpc-[0-9a-f]{8,17}$/, "a VPC's id such as vpc-0123456789abcdef0").exactOptional(),
    subnetIds: list(text(/^subnet-[0-9a-f]{8,17}$/, "a subnet's id such as subnet-0123456789abcdef0"), "subnet ids")
      .min(2, { error: "at least two subnets in different zones" })
      .exactOptional(),
    kmsKeyArn: text(
      /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[\w-]+$/,
      "the ARN of a KMS key (arn:aws:kms:<region>:<account>:key/<id>)",
    ).exactOptional(),
    zoneId: text(/^Z[A-Z0-9]{4,31}$/, "a Route 53 zone's id such as Z0123456789ABC").exactOptional(),
    rdsProxy: boolean().exactOptional(),
  }),
  images: object({ postgres: image.exactOptional(), citus: image.exactOptional() }),
  alerts: object({
    connections: threshold(percent),
    cacheHit: threshold(percent),
    replicationLag: threshold(size("1kB")),
    disk: threshold(percent),
    p99: threshold(duration()),
    deadTuples: threshold(integer(1, 1_000_000_000_000)),
    receivers: list(
      text(/^([^@\s]+@[^@\s]+\.[^@\s]+|https:\/\/\S+)$/, "an e-mail address or an https URL"),
      "e-mail addresses and https URLs",
    ).exactOptional(),
  }),
  backup: object({
    retentionDays: integer(7, 365).exactOptional(),
    restoreTest: oneOf(["day", "week", "month", "never"]).exactOptional(),
  }),
  monitoring: boolean(),
  protect: boolean(),
  release: boolean(),
  rotation: integer(0, 1_000_000),
} as const satisfies Record<string, z.ZodType>;

export type Key = keyof typeof SCHEMA;
export const KEYS = Object.keys(SCHEMA) as readonly Key[];

/** What the operator wrote, checked value by value; keys that were not written are missing. */
export type Written = { readonly [K in Key]?: z.output<(typeof SCHEMA)[K]> };

/** Whether Pulumi hands the key over as JSON text. */
export const isStructured = (key: Key): boolean => !(SCHEMA[key] instanceof z.ZodPipe);

export type WrittenTable = z.output<typeof table>;
export type WrittenMachine = { [K in keyof typeof machine]?: z.output<(typeof machine)[K]> };
