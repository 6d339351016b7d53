import { clusterDynamic, clusterParts } from "../plan/mirror.ts";
import type { LastOutputs, Topology } from "../plan/topology.ts";
import { canonicalName, needsRestart } from "../plan/tuning/parameters.ts";
import type { Change } from "./progress.ts";

/** Stands in a preview for a value that is known only when the change runs. */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export interface ParameterChange {
  name: string;
  from: string | undefined;
  to: string | undefined;
}

/** The parameters that differ and that PostgreSQL reads at its start only. */
export function restartingParameters(
  running: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): readonly ParameterChange[] {
  const names = [...new Set([...Object.keys(running), ...Object.keys(wanted)])];
  return names
    .filter((name) => running[name] !== wanted[name] && canonicalName(name) === name && needsRestart(name))
    .map((name) => ({ name, from: running[name], to: wanted[name] }));
}

type Parameters = Readonly<Record<string, string>>;

/** The parameters that each cluster's nodes shall run with, by cluster. @throws InputError where their memory cannot hold. */
export const wantedParameters = (topology: Topology): Readonly<Record<string, Parameters>> =>
  Object.fromEntries(topology.clusters.map(({ name }) => [name, clusterDynamic(topology, name).postgresql.parameters]));

/**
 * What the next `up` interrupts, one line each; empty when nothing restarts.
 *
 * @param running parameters that each cluster runs with now, by its name; missing where none runs
 */
export function announceRestarts(
  changes: readonly Change[],
  topology: Topology,
  last: LastOutputs | undefined,
  running: Readonly<Record<string, Parameters>>,
): readonly string[] {
  const replaced = changes.filter(({ op, kind }) => op === "replace" && kind === "container");
  const lines = replaced.map((change) => {
    const certain = JSON.stringify(change.inputs ?? {}).includes(UNKNOWN) && onlyLabels(change) ? "may be replaced" : "is replaced";
    const why = change.differs.length > 0 && certain === "is replaced" ? ` (${change.differs.join(", ")} changed)` : "";
    return `container ${change.name} ${certain}${why}: ${effectOn(change.name, topology)}`;
  });
  const wanted = wantedParameters(topology);
  return [
    ...lines,
    ...topology.clusters.flatMap(({ name }) => {
      const there = clusterParts(topology, name).nodes.filter((node) => last?.nodes.some((before) => before.name === node.name));
      const changed = running[name] && there.length > 0 ? restartingParameters(running[name], wanted[name]!) : [];
      return changed.length === 0
        ? []
        : [
            parametersLine(
              there.map((node) => node.name),
              changed,
            ),
          ];
    }),
  ];
}

function parametersLine(nodes: readonly string[], parameters: readonly ParameterChange[]): string {
  const who =
    nodes.length > 1
      ? `on ${nodes.join(", ")}, the replicas first, then the primary while the pooler holds its clients`
      : `on ${nodes[0]} while the pooler holds its clients`;
  const what = parameters.map(({ name, from = "unset", to = "unset" }) => `${name} ${from} -> ${to}`).join(", ");
  return `PostgreSQL restarts ${who}: ${what}`;
}

const onlyLabels = ({ differs }: Change): boolean => differs.every((property) => property === "labels");

function effectOn(container: string, { nodes, poolers, consensus, agent, cache, cacheDoor }: Topology): string {
  const has = (parts: readonly { name: string }[]) => parts.some(({ name }) => name === container);
  if (has(nodes)) return "its PostgreSQL restarts; where it leads, another node takes over first if there is one";
  if (has(poolers)) return "every connection is closed once, clients connect again";
  if (has(consensus)) return "PostgreSQL goes on without it";
  if (has(cache)) return "where it leads, its copy takes over within seconds; until then client/cache reads the database";
  if (container === cacheDoor?.name) return "every connection to the cache is closed once, clients connect again";
  if (container === agent.name) return "clients notice nothing";
  return "what it does is interrupted";
}

const SIGN = { create: "+ new", update: "~ changed in place", replace: "± replaced", delete: "- deleted" } as const;

/** Every change in words; passwords, keys and certificates as one line. */
export function describeChanges(changes: readonly Change[]): readonly string[] {
  const shown = changes.filter(({ kind }) => kind !== "secret");
  const secrets = changes.length - shown.length;
  return [
    ...shown.map(({ op, kind, name, differs }) => {
      if (kind === "task") return op === "delete" ? `- task ${name}` : `> task ${name} runs`;
      const why = (op === "update" || op === "replace") && differs.length > 0 ? ` (${differs.join(", ")})` : "";
      return `${SIGN[op]}: ${kind} ${name}${why}`;
    }),
    ...(secrets > 0 ? [`${secrets} passwords, keys and certificates`] : []),
  ];
}
