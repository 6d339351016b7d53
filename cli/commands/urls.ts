import { spawn, spawnSync } from "node:child_process";
import * as z from "zod";
import type { UrlKind } from "../arguments.ts";
import { Failure } from "../failure.ts";
import { readLast } from "../planning.ts";
import type { Report } from "../report.ts";
import { openStack } from "../stack.ts";

const OUTPUT = { write: "writeUrl", read: "readUrl", session: "sessionUrl", cache: "cacheUrl" } as const satisfies Record<UrlKind, string>;
async function urlOf(name: string, kind: UrlKind) {
  const opened = await openStack(name);
  const url = (await opened.stack.outputs())[OUTPUT[kind]]?.value;
  if (url === undefined) throw new Failure(`stack ${name}: has no URLs yet; bin/up makes them`);
  if (url === "") throw new Failure(`stack ${name}: has no ${kind} URL at this stage`);
  return { opened, url: String(url) };
}

/** `ladder url`: prints one URL and nothing else. */
export async function url({ stack, kind }: { stack: string; kind: UrlKind }, { result }: Report): Promise<void> {
  const found = await urlOf(stack, kind);
  result([found.url], { url: found.url });
}

const SHARD_MAP = z.object({ shards: z.array(z.object({ url: z.string(), readUrl: z.string() })).default([]) });

/** `ladder url shard`: prints the URL that leads straight to one shard, for SQL that stays on it. */
export async function shardUrl({ stack, shard, read }: { stack: string; shard: number; read: boolean }, { result }: Report): Promise<void> {
  const { shards } = SHARD_MAP.parse((await (await openStack(stack)).stack.outputs()).shardMap?.value ?? {});
  const found = shards[shard];
  if (!found)
    throw new Failure(
      `stack ${stack}: got shard ${shard}, want ${shards.length > 0 ? `0 to ${shards.length - 1}` : "a stack with shards"}`,
    );
  const text = read ? found.readUrl : found.url;
  result([text], { url: text });
}

/**
 * `ladder psql`: psql of this machine, else the pooler container's. The password goes through the environment, so that it is not in
 * the list of processes.
 *
 * @returns psql's exit code
 */
export async function psql({ stack, kind, args }: { stack: string; kind: UrlKind; args: readonly string[] }): Promise<number> {
  const { opened, url: found } = await urlOf(stack, kind);
  const target = new URL(found);
  const environment = { ...process.env, PGPASSWORD: decodeURIComponent(target.password) };
  target.password = "";
  if (spawnSync("psql", ["--version"], { stdio: "ignore" }).status === 0) return run("psql", [target.href, ...args], environment);
  const last = await readLast(opened);
  const { dockerName } = await import("../../components/docker/container.ts");
  if (last?.target !== "docker") throw new Failure("psql: not found; install PostgreSQL's client (Debian: postgresql-client)");
  const terminal = process.stdin.isTTY && process.stdout.isTTY ? ["-it"] : ["-i"];
  // A file of this machine is not in the container; the connection stays encrypted.
  target.searchParams.delete("sslrootcert");
  const container = dockerName(stack, "pooler-1");
  return run("docker", ["exec", ...terminal, "-e", "PGPASSWORD", container, "psql", target.href, ...args], environment);
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit", env });
    // Ctrl-C belongs to psql: it cancels the statement.
    process.on("SIGINT", () => undefined);
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
