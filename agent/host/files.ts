/** What the host's own script puts into the input folder, and the files that HAProxy and PgBouncer read. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { HostSettings } from "../../plan/pooler-host.ts";
import { haproxyFile, renderRdsHaproxy } from "../../plan/render/haproxy-rds.ts";
import { POOLER_FILES } from "../../plan/render/pgbouncer.ts";
import { renderRdsPgbouncer, renderUserlist, SERVER_AUTHORITIES, socketFolder } from "../../plan/render/pgbouncer-rds.ts";

/** The authorities that sign RDS Proxy's certificates, as Debian's ca-certificates names them. */
const PROXY_AUTHORITIES = [1, 2, 3, 4].map((n) => `/etc/ssl/certs/Amazon_Root_CA_${n}.pem`);

export interface Inputs {
  settings: HostSettings;
  /** Passwords by role. */
  passwords: Readonly<Record<string, string>>;
  identity: { certificate: string; key: string; ca: string };
  /** PEM of the authorities that sign RDS' certificates. */
  authorities: string;
}

/** What `aws secretsmanager batch-get-secret-value` prints. */
interface SecretBatch {
  SecretValues: readonly { Name: string; SecretString: string }[];
}

/**
 * Reads the input folder: `settings.json`, `secrets.json` (as `aws secretsmanager batch-get-secret-value` prints it), `rds-ca.pem`.
 * @throws where a file is missing or a secret is not in the batch, naming it.
 */
export function readInputs(folder: string): Inputs {
  const text = (name: string) => readFileSync(`${folder}/${name}`, "utf8");
  const settings = JSON.parse(text("settings.json")) as HostSettings;
  const batch = JSON.parse(text("secrets.json")) as SecretBatch;
  const secret = (name: string): unknown => {
    const found = batch.SecretValues.find(({ Name }) => Name === name);
    if (!found)
      throw new Error(`secrets.json: got no secret ${name}, want it among ${batch.SecretValues.map(({ Name }) => Name).join(", ")}`);
    return JSON.parse(found.SecretString);
  };
  const password = (name: string) => (secret(name) as { password: string }).password;
  return {
    settings,
    passwords: Object.fromEntries(Object.entries(settings.secrets.roles).map(([role, name]) => [role, password(name)])),
    identity: secret(settings.secrets.identity) as Inputs["identity"],
    authorities: text("rds-ca.pem"),
  };
}

/** Every file by its path. */
export function hostFiles({ settings, passwords, identity, authorities }: Inputs): Record<string, string> {
  const proxy =
    settings.proxy === null ? [] : PROXY_AUTHORITIES.filter((file) => existsSync(file)).map((file) => readFileSync(file, "utf8"));
  return {
    [`${POOLER_FILES}/ca.crt`]: identity.ca,
    [`${POOLER_FILES}/pooler.crt`]: identity.certificate,
    [`${POOLER_FILES}/pooler.key`]: identity.key,
    [SERVER_AUTHORITIES]: [authorities, ...proxy].join("\n"),
    [`${POOLER_FILES}/userlist.txt`]: renderUserlist(passwords),
    ...Object.fromEntries(settings.clusters.map((cluster) => [haproxyFile(cluster.name), renderRdsHaproxy(settings, cluster)])),
    ...Object.fromEntries(Array.from({ length: settings.processes }, (_, i) => [processFile(i), renderRdsPgbouncer(settings, i)])),
  };
}

export const processFile = (index: number): string => `${socketFolder(index)}/pgbouncer.ini`;

/** Writes what is not there yet, each file at once. @returns the paths that changed */
export function putFiles(files: Readonly<Record<string, string>>): string[] {
  const changed = Object.entries(files).filter(([path, content]) => !existsSync(path) || readFileSync(path, "utf8") !== content);
  for (const [path, content] of changed) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(`${path}.new`, content, { mode: 0o400 });
    renameSync(`${path}.new`, path);
  }
  return changed.map(([path]) => path);
}
