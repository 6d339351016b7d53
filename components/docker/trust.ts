import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import * as pulumi from "@pulumi/pulumi";

const STATE = resolve(process.env.PGLADDER_STATE ?? join(import.meta.dirname, "../../.state"));

/**
 * The rest of a URL that every driver on this machine understands. Without the authority's file node-postgres refuses
 * `sslmode=require`; drivers that do not look for the file ignore it (tried: docs/rehearsal.md).
 */
export function urlOptions(stack: string, authority: pulumi.Output<string>): pulumi.Output<string> {
  const file = join(STATE, `${stack}-ca.crt`);
  return authority.apply((pem) => {
    if (!pulumi.runtime.isDryRun()) {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, pem);
    }
    return `sslmode=require&sslrootcert=${encodeURI(file)}`;
  });
}
