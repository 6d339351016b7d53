/** Passwords and pooler hosts, asked of AWS by the SDK that Lambda's Node runtime brings along: it is not part of the bundle. */
import { createRequire } from "node:module";
import type { Passwords } from "../../plan/desired.ts";
import { until } from "../connections.ts";

interface SecretsSdk {
  SecretsManager: new () => { getSecretValue(input: { SecretId: string }): Promise<{ SecretString?: string }> };
}

interface ComputeSdk {
  EC2: new (options: {
    region: string;
  }) => {
    describeInstances(input: { Filters: { Name: string; Values: string[] }[] }): Promise<{
      Reservations?: { Instances?: { PrivateIpAddress?: string }[] }[];
    }>;
  };
}

/** A role that was just made may be refused for a while, in ms. */
const RIGHTS_ARRIVE = 15_000;

// CommonJS finds the runtime's packages on NODE_PATH; import does not in every version.
const load = createRequire(import.meta.url);

/**
 * Passwords by role, from secrets that hold `{"username": …, "password": …}`.
 * @param arns by role
 * @throws naming the role whose secret cannot be read
 */
export async function readPasswords(arns: Readonly<Record<string, string>>): Promise<Passwords> {
  const { SecretsManager } = load("@aws-sdk/client-secrets-manager") as SecretsSdk;
  const manager = new SecretsManager();
  const read = ([role, SecretId]: [string, string]) =>
    until(`secret of ${role}`, RIGHTS_ARRIVE, async () => {
      const { SecretString } = await manager.getSecretValue({ SecretId });
      const { password } = JSON.parse(SecretString ?? "{}") as { password?: string };
      if (password === undefined) throw new Error('got no password, want {"username": …, "password": …}');
      return [role, password] as const;
    });
  return Object.fromEntries(await Promise.all(Object.entries(arns).map(read)));
}

/** Private addresses of the running hosts of an auto-scaling group. */
export async function addressesOf(region: string, group: string): Promise<string[]> {
  const { EC2 } = load("@aws-sdk/client-ec2") as ComputeSdk;
  const { Reservations = [] } = await new EC2({ region }).describeInstances({
    Filters: [
      { Name: "tag:aws:autoscaling:groupName", Values: [group] },
      { Name: "instance-state-name", Values: ["running"] },
    ],
  });
  return Reservations.flatMap(({ Instances = [] }) => Instances.flatMap(({ PrivateIpAddress }) => PrivateIpAddress ?? [])).sort();
}
