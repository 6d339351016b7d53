/** A hot standby beside the test server, in its container; it ends with it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { TestServer } from "./postgres.ts";

const run = promisify(execFile);

/** Runs SQL on the standby with psql and returns what it prints, unaligned, without headers. */
export type AskStandby = (user: string, database: string, sql: string) => Promise<string>;

export async function startStandby(server: TestServer): Promise<AskStandby> {
  const { stdout: container } = await run("docker", ["ps", "-q", "--filter", `publish=${server.port}`]);
  const exec = async (...command: string[]) => (await run("docker", ["exec", container.trim(), ...command])).stdout.trim();
  await exec(
    "bash",
    "-c",
    `export PATH=/usr/lib/postgresql/17/bin:$PATH
    pg_basebackup -D /pgtest/standby -R -c fast -h /pgtest -U postgres
    pg_ctl start -w -D /pgtest/standby -l /pgtest/standby.log >/dev/null -o "-p 5433 -c unix_socket_directories=/pgtest \\
      -c max_connections=100 -c shared_preload_libraries=pgaudit,pg_stat_statements"`,
  );
  return (user, database, sql) =>
    exec("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "/pgtest", "-p", "5433", "-U", user, "-d", database, "-c", sql);
}
