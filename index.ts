import * as pulumi from "@pulumi/pulumi";
import { thisHost } from "./components/host.ts";
import { outputs } from "./components/outputs.ts";
import { readSchema } from "./components/schema.ts";
import type { TargetClass } from "./components/target.ts";
import { ownConfig } from "./plan/config/own.ts";
import { parseConfig } from "./plan/config.ts";
import { refuseNotBuilt } from "./plan/stages.ts";
import { parseLastOutputs, plan } from "./plan/topology.ts";
import type { Target } from "./plan/types.ts";

/** Loaded when it is chosen: the other's provider takes seconds to load. */
const TARGETS: Record<Target, () => Promise<TargetClass>> = {
  docker: async () => (await import("./components/docker/index.ts")).DockerTarget,
  aws: async () => (await import("./components/aws/index.ts")).AwsTarget,
};

/** The Pulumi program: read, plan, choose the target, export. */
export default async function program(): Promise<Record<string, unknown>> {
  const stack = pulumi.getStack();
  const config = parseConfig(ownConfig(pulumi.runtime.allConfig()), { stack });
  refuseNotBuilt(config);
  const last = parseLastOutputs(await lastOutput("topology"));
  const topology = plan(config, last, thisHost());
  const schema = readSchema(import.meta.dirname, config.schema);
  const TargetOfChoice = await TARGETS[config.target]();
  const target = new TargetOfChoice(stack, { config, topology, last, schema });
  return outputs(topology, target);
}

/** An output of this stack's last run; undefined at the first. */
async function lastOutput(name: string): Promise<unknown> {
  const self = new pulumi.StackReference(`${pulumi.getOrganization()}/${pulumi.getProject()}/${pulumi.getStack()}`);
  return (await self.getOutputDetails(name)).value;
}
