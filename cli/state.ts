import type { Deployment, Stack } from "@pulumi/pulumi/automation/index.js";
import * as z from "zod";

const RESOURCE = z.looseObject({
  urn: z.string(),
  type: z.string(),
  id: z.string().optional(),
  custom: z.boolean().optional(),
  delete: z.boolean().optional(),
  protect: z.boolean().optional(),
  parent: z.string().optional(),
  provider: z.string().optional(),
  dependencies: z.array(z.string()).nullish(),
  inputs: z.record(z.string(), z.unknown()).optional(),
  outputs: z.record(z.string(), z.unknown()).optional(),
});

const STATE = z.looseObject({
  resources: z.array(RESOURCE).nullish(),
  pending_operations: z.array(z.looseObject({ type: z.string(), resource: RESOURCE })).nullish(),
});

/** A resource as Pulumi's state holds it. */
export type Resource = z.infer<typeof RESOURCE>;

/** What the stack's state says, and a way to write it back. */
export interface StackState {
  readonly resources: readonly Resource[];
  /** What a run that was killed had begun. */
  readonly pending: readonly { type: string; resource: Resource }[];
  /** Writes the state back without pending operations, each resource as `change` gives it. */
  write(change?: (resource: Resource) => Resource): Promise<void>;
}

/** Reads the stack's state. */
export async function readState(stack: Stack): Promise<StackState> {
  const exported: Deployment = await stack.exportStack();
  const deployment = STATE.parse(exported.deployment ?? {});
  const resources = deployment.resources ?? [];
  return {
    resources,
    pending: deployment.pending_operations ?? [],
    write: async (change = (resource) => resource) => {
      const { pending_operations: _, ...rest } = deployment;
      await stack.importStack({ ...exported, deployment: { ...rest, resources: resources.map(change) } });
    },
  };
}

/** The random name by which this stack knows its own containers; undefined before the first run. */
export function ownerOf(resources: readonly Resource[]): string | undefined {
  const owner = resources.find(({ type, urn }) => type === "random:index/randomId:RandomId" && urn.endsWith("::owner"));
  const hex = owner?.outputs?.hex;
  return typeof hex === "string" ? hex : undefined;
}

/** Volumes that hold data, by the name they have on the engine. */
export const dataVolumes = (resources: readonly Resource[]): readonly Resource[] =>
  resources.filter(({ type, urn }) => type === "docker:index/volume:Volume" && nameOf(urn).startsWith("data-"));

export const nameOf = (urn: string): string => urn.slice(urn.lastIndexOf("::") + 2);
