import type * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../plan/config.ts";
import type { LastOutputs, Topology } from "../plan/topology.ts";

export interface TargetArgs {
  config: StackConfig;
  topology: Topology;
  /** What the stack exported last time; undefined at the first run. */
  last: LastOutputs | undefined;
  /** The application's migrations: file content by path below the schema folder. */
  schema: Readonly<Record<string, string>>;
}

/** What every target gives the program. */
export interface Target {
  /** Passwords by role; secret. */
  readonly passwords: pulumi.Output<Record<string, string>>;
  /** PEM of the stack's private certificate authority. */
  readonly caCertificate: pulumi.Output<string>;
  /** Query part of the database URLs. */
  readonly urlOptions: pulumi.Output<string>;
  /** Empty below stage 3. */
  readonly cacheUrl: pulumi.Output<string>;
  readonly dashboardUrl: pulumi.Output<string>;
  /** Known when the schema is applied: whoever waits for it waits for a system that works. */
  readonly ready: pulumi.Output<boolean>;
}

/** A target builds the topology; only index.ts chooses one. */
export type TargetClass = new (name: string, args: TargetArgs, options?: pulumi.ComponentResourceOptions) => Target;
