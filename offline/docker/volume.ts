import { map, object, set, text } from "../bridge/rules.ts";
import { type Definition, tableHandler } from "../bridge/table.ts";
import { compact, mapOf, objectsOf, type Props, textOf } from "../bridge/values.ts";
import { docker, isMissing, messageOf, retryWhileBusy, statusOf } from "./engine.ts";

export const labelSet = set(object({ label: text({ required: true }), value: text({ required: true }) }), { replaces: true });

/** Labels as the engine takes them. */
export function labelMap(value: Props[string] | undefined): Record<string, string> {
  return Object.fromEntries(objectsOf(value).map((label) => [textOf(label.label), textOf(label.value)]));
}

/** Labels as the program and the state have them. */
export function labelList(labels: Record<string, string> | null | undefined): Props[] {
  return Object.entries(labels ?? {}).map(([label, value]) => ({ label, value }));
}

const definition: Definition = {
  meta: { schema_version: "1" },
  named: true,
  rules: {
    name: text({ computed: true, replaces: true }),
    labels: labelSet,
    driver: text({ computed: true, replaces: true }),
    driverOpts: map({ replaces: true }),
    cluster: object({}, { unsupported: true }),
    mountpoint: text({ output: true }),
  },

  async create(inputs) {
    const name = textOf(inputs.name);
    try {
      await docker().createVolume({
        Name: name,
        Labels: labelMap(inputs.labels),
        DriverOpts: mapOf(inputs.driverOpts),
        ...(inputs.driver === undefined ? {} : { Driver: textOf(inputs.driver) }),
      });
    } catch (error) {
      throw new Error(`Unable to create volume: ${messageOf(error)}`);
    }
    return { id: name, outputs: (await observe(name)) ?? {} };
  },

  read: observe,

  async delete(id) {
    await retryWhileBusy(30, "in_use", async () => {
      try {
        await docker().getVolume(id).remove({ force: true });
      } catch (error) {
        if (statusOf(error) === 409 && messageOf(error).includes("volume is in use")) return "busy";
        if (!isMissing(error)) throw error;
      }
      return "done";
    });
  },
};

async function observe(id: string): Promise<Props | undefined> {
  try {
    const found = await docker().getVolume(id).inspect();
    return compact({
      name: found.Name,
      labels: labelList(found.Labels),
      driver: found.Driver,
      driverOpts: found.Options ?? {},
      mountpoint: found.Mountpoint,
    });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new Error(`Unable to inspect volume: ${messageOf(error)}`);
  }
}

export const volume = tableHandler(definition);
