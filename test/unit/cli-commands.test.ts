/** Command lines as scripts give them: exit codes, messages, and what goes to which stream. Needs no Docker and no Pulumi. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { VIEWS } from "../../cli/commands/views.ts";
import { portHolder } from "../../cli/ports.ts";

const MAIN = join(import.meta.dirname, "../../cli/main.ts");
const state = mkdtempSync(join(tmpdir(), "pgladder-cli-"));
afterAll(() => rmSync(state, { recursive: true }));

async function ladder(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, PGLADDER_STATE: state, DOCKER_HOST: "unix:///nowhere.sock" };
  const ended = await promisify(execFile)(process.execPath, [MAIN, ...args], { env }).catch((error) => error);
  return { code: ended.code ?? 0, stdout: ended.stdout, stderr: ended.stderr };
}

test.concurrent.each([
  [["up", "--stag", "2"], "error: unknown option '--stag'\n(Did you mean --stage?)\n"],
  [["up", "--stage", "6"], 'error: stage: got "6", want one of 1, 2, 3, 4, 5\n'],
  [["climb"], "error: missing required argument 'stage'\n"],
  [["url", "foo"], 'error: url: got "foo", want one of write, read, session, cache\n'],
  [["psql", "cache"], 'error: url: got "cache", want one of write, read, session\n'],
  [["status", "--", "-c"], "error: --: only psql takes further arguments\n"],
  [["--stack", "Dev", "status"], 'error: --stack: got "Dev", want a name of at most 31 of a-z, 0-9 and -, a letter first\n'],
] as const)("%j makes no sense: exit code 2", async (args, stderr) => {
  expect(await ladder(...args)).toEqual({ code: 2, stdout: "", stderr });
});

test.concurrent("an unknown name: exit code 2, what was meant perhaps, and every name that there is", async () => {
  const { code, stdout, stderr } = await ladder("tabel-sizes");
  expect([code, stdout]).toEqual([2, ""]);
  const [error, meant, want, ...rest] = stderr.split("\n");
  expect([error, meant, rest]).toEqual(["error: unknown command 'tabel-sizes'", "(Did you mean table-sizes?)", [""]]);
  const names = want!.replace(/^want one of /, "").split(", ");
  expect(names.filter((name) => name in VIEWS)).toEqual(Object.keys(VIEWS));
  expect(names.filter((name) => !(name in VIEWS))).toEqual(
    expect.arrayContaining(["up", "down", "url", "psql", "status", "plan", "climb", "finish", "tune", "views", "vacuum", "reorder", "run"]),
  );
});

test.concurrent.each([
  [["table-sizes", "--limit", "0"], 'got "0", want a whole number from 1 to 999999\n'],
  [["reorder"], "error: missing required argument 'table'\n"],
  [["jobs", "--nodes", "all"], "error: unknown option '--nodes'\n(Did you mean --node?)\n"],
] as const)("%j makes no sense: exit code 2", async (args, stderr) => {
  const got = await ladder(...args);
  expect([got.code, got.stdout]).toEqual([2, ""]);
  expect(got.stderr).toContain(stderr);
});

test.concurrent("a view of a stack that is not there says so, also as JSON", async () => {
  const { code, stdout, stderr } = await ladder("health", "--stack", "nowhere", "--json");
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: .*nowhere/);
  expect(JSON.parse(stdout)).toEqual({ error: stderr.slice("error: ".length, -1) });
});

test.concurrent("without an engine, up says so, also as JSON, and begins nothing", async () => {
  const text = "Docker: the engine does not answer (connect ENOENT /nowhere.sock): bin/setup starts it";
  expect(await ladder("up", "--json", "--stack", "other")).toEqual({
    code: 1,
    stdout: `${JSON.stringify({ error: text })}\n`,
    stderr: `error: ${text}\n`,
  });
});

test.concurrent("tune needs no stack; --json is JSON", async () => {
  const { code, stdout } = await ladder("tune", "--cores", "8", "--memory", "32GB", "--json");
  expect(code).toBe(0);
  expect(JSON.parse(stdout).parameters.shared_buffers).toBe("8GB");
});

test.concurrent("help is no error", async () => {
  const { code, stdout } = await ladder("--help");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Usage: bin\/ladder \[options\] \[command\]\n/);
});

test("the holder of a port is named", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  expect(await portHolder(port)).toMatch(new RegExp(`^process ${process.pid} \\(.+\\)$`));
  await new Promise((resolve) => server.close(resolve));
  expect(await portHolder(port)).toBeUndefined();
});
