/** HAProxy and the PgBouncer processes of a host: started, started anew when they end, asked, and let go at the end. */
import { type ChildProcess, spawn } from "node:child_process";
import pg from "pg";
import { haproxyFile } from "../../plan/render/haproxy-rds.ts";
import { socketFolder } from "../../plan/render/pgbouncer-rds.ts";
import { processFile } from "./files.ts";

/** A command that runs until it is let go. */
export class Kept {
  readonly name: string;
  #command: readonly string[];
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #letGo = false;
  #log: (line: string) => void;
  #started: () => void;

  constructor(name: string, command: readonly string[], log: (line: string) => void, started: () => void = () => undefined) {
    this.name = name;
    this.#command = command;
    this.#log = log;
    this.#started = started;
    this.#start();
  }

  /** Resolves when it has ended and is not started again. */
  get gone(): Promise<void> {
    this.#letGo = true;
    return this.#ended;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  #start(): void {
    const [program, ...args] = this.#command;
    const child = spawn(program!, args, { stdio: ["ignore", "inherit", "inherit"] });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      const end = (how: string) => {
        if (this.#letGo) return resolve();
        this.#log(`${this.name} ended (${how}), starting it again`);
        setTimeout(() => (this.#letGo ? resolve() : this.#start()), 1_000);
      };
      child.once("error", (error) => end(error.message));
      child.once("exit", (code, signal) => end(String(code ?? signal)));
    });
    this.#started();
  }
}

/** HAProxy in front of one cluster. */
export const startHaproxy = (cluster: string, log: (line: string) => void, started: () => void): Kept =>
  new Kept(`HAProxy of ${cluster}`, ["haproxy", "-db", "-f", haproxyFile(cluster)], log, started);

export const startPgbouncer = (index: number, log: (line: string) => void): Kept =>
  new Kept(`PgBouncer ${index}`, ["pgbouncer", processFile(index)], log);

/** Works on a process' admin console. PgBouncer lets its own user in on the socket without a password. @param timeout of a command, ms */
export async function withConsole(
  index: number,
  port: number,
  work: (client: pg.Client) => Promise<unknown>,
  timeout = 1_000,
): Promise<void> {
  const limits = { connectionTimeoutMillis: timeout, query_timeout: timeout };
  const client = new pg.Client({ host: socketFolder(index), port, user: "pgbouncer", database: "pgbouncer", ...limits });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await work(client);
  } finally {
    client.end().catch(() => undefined);
  }
}

export const onConsole = (index: number, port: number, command: string): Promise<void> =>
  withConsole(index, port, (client) => client.query(command));
