import { flag, map, object, set, text } from "../bridge/rules.ts";
import { type Definition, tableHandler } from "../bridge/table.ts";
import { compact, mapOf, objectsOf, type Props, textOf, type Value } from "../bridge/values.ts";
import { docker, isMissing, messageOf, retryWhileBusy } from "./engine.ts";
import { labelList, labelMap, labelSet } from "./volume.ts";

const address = text({ replaces: true });

const definition: Definition = {
  meta: { schema_version: "1" },
  named: true,
  rules: {
    name: text({ replaces: true }),
    labels: labelSet,
    driver: text({ computed: true, replaces: true }),
    options: map({ computed: true, replaces: true }),
    internal: flag({ computed: true, replaces: true }),
    attachable: flag({ replaces: true }),
    ingress: flag({ replaces: true }),
    ipv6: flag({ replaces: true }),
    ipamDriver: text({ default: "default", replaces: true }),
    ipamOptions: map({ replaces: true }),
    ipamConfigs: set(object({ subnet: address, ipRange: address, gateway: address, auxAddress: map({ replaces: true }) }), {
      computed: true,
      replaces: true,
    }),
    scope: text({ output: true }),
  },

  async create(inputs) {
    try {
      const network = await docker().createNetwork({
        Name: textOf(inputs.name),
        CheckDuplicate: true,
        Labels: labelMap(inputs.labels),
        Options: mapOf(inputs.options),
        Internal: inputs.internal === true,
        Attachable: inputs.attachable === true,
        Ingress: inputs.ingress === true,
        EnableIPv6: inputs.ipv6 === true,
        ...(inputs.driver === undefined ? {} : { Driver: textOf(inputs.driver) }),
        IPAM: {
          Driver: textOf(inputs.ipamDriver),
          Options: mapOf(inputs.ipamOptions),
          Config: objectsOf(inputs.ipamConfigs).map(ipamRequest),
        },
      });
      return { id: network.id, outputs: (await observe(network.id)) ?? {} };
    } catch (error) {
      throw new Error(`Unable to create network: ${messageOf(error)}`);
    }
  },

  read: observe,

  async delete(id) {
    await retryWhileBusy(30, "pending", async () => {
      try {
        await docker().getNetwork(id).remove();
      } catch (error) {
        if (messageOf(error).includes("has active endpoints")) return "busy";
        if (!isMissing(error)) throw new Error(messageOf(error));
      }
      return "done";
    });
  },
};

interface IpamRequest {
  Subnet?: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses?: Record<string, string>;
}

function ipamRequest(config: Props): IpamRequest {
  const request: IpamRequest = {};
  if (config.subnet !== undefined) request.Subnet = textOf(config.subnet);
  if (config.ipRange !== undefined) request.IPRange = textOf(config.ipRange);
  if (config.gateway !== undefined) request.Gateway = textOf(config.gateway);
  if (config.auxAddress !== undefined) request.AuxiliaryAddresses = mapOf(config.auxAddress);
  return request;
}

async function observe(id: string): Promise<Props | undefined> {
  const found = await docker()
    .getNetwork(id)
    .inspect()
    .catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw new Error(`Unable to inspect network: ${messageOf(error)}`);
    });
  if (found === undefined) return undefined;
  const configs: Value = (found.IPAM?.Config ?? []).map((config) =>
    compact({ subnet: config.Subnet, ipRange: config.IPRange, gateway: config.Gateway }),
  );
  return compact({
    name: found.Name,
    labels: labelList(found.Labels),
    driver: found.Driver,
    options: found.Options ?? {},
    internal: found.Internal,
    attachable: found.Attachable,
    ingress: found.Ingress,
    ipv6: found.EnableIPv6,
    ipamDriver: found.IPAM?.Driver,
    ipamOptions: found.IPAM?.Options ?? {},
    ipamConfigs: configs,
    scope: found.Scope,
  });
}

export const network = tableHandler(definition);
