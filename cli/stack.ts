import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LocalWorkspace, type Stack } from "@pulumi/pulumi/automation/index.js";
import program from "../index.ts";

export const ROOT = join(import.meta.dirname, "..");

/** Where state and passphrase are kept unless Pulumi's own environment says otherwise. */
const STATE = process.env["PGLADDER_STATE"] ?? join(ROOT, ".state");

/**
 * Pulumi's environment: the operator's own backend and passphrase where they are set, else files in the state folder.
 * The passphrase that encrypts the secrets is made once, readable by its owner only.
 */
function environment(): Record<string, string> {
  mkdirSync(STATE, { recursive: true, mode: 0o700 });
  return {
    PULUMI_SKIP_UPDATE_CHECK: "true",
    ...(process.env["PULUMI_BACKEND_URL"] ? {} : { PULUMI_BACKEND_URL: `file://${STATE}` }),
    ...(process.env["PULUMI_CONFIG_PASSPHRASE"] ?? process.env["PULUMI_CONFIG_PASSPHRASE_FILE"]
      ? {}
      : { PULUMI_CONFIG_PASSPHRASE: passphrase(join(STATE, "passphrase")) }),
  };
}

function passphrase(file: string): string {
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString("base64url"), { mode: 0o600, flag: "wx" });
  return readFileSync(file, "utf8").trim();
}

/** Opens the stack, making it where it does not exist yet. Its configuration is `Pulumi.<name>.yaml`. */
export async function openStack(name: string, workDir = ROOT): Promise<Stack> {
  return LocalWorkspace.createOrSelectStack({ stackName: name, projectName: "pgladder", program }, { workDir, envVars: environment() });
}
