import { readFileSync } from "node:fs";
import { connect } from "node:tls";

import type { Context } from "./connections.ts";

/** Runs one command of HAProxy's runtime interface, with the agent's certificate, and returns its answer. */
async function ask({ desired, files }: Context, command: string): Promise<string> {
  const { host } = desired.pooler;
  const tls = { ca: readFileSync(`${files}/ca.crt`), cert: readFileSync(`${files}/agent.crt`), key: readFileSync(`${files}/agent.key`) };
  return new Promise<string>((resolve, reject) => {
    const socket = connect({ host, port: desired.cluster.doors.control, servername: host, timeout: 3_000, ...tls });
    let text = "";
    socket.on("secureConnect", () => socket.write(`${command}\n`));
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("timeout", () => socket.destroy(new Error("no answer in 3 s")));
    socket.on("error", reject);
    socket.on("close", () => resolve(text.trim()));
  });
}

/**
 * Runs one command of HAProxy's runtime interface that changes something.
 *
 * @throws with HAProxy's words when it did not take the command, which answers nothing when it did.
 */
export async function haproxyCommand(context: Context, command: string): Promise<void> {
  const answer = await ask(context, command);
  if (answer !== "") throw new Error(`HAProxy: ${command}: ${answer}`);
}

/** Replicas that may get reads while they are healthy: those with a weight. */
export async function readers(context: Context): Promise<string[]> {
  return parseReaders(await ask(context, "show servers state replicas"));
}

/** Servers with a weight in HAProxy's answer to `show servers state`: a version, a header that names the columns, a line a server. */
export function parseReaders(answer: string): string[] {
  const [, header, ...lines] = answer.split("\n").map((line) => line.trim().split(" "));
  const column = (name: string) => (header ?? []).indexOf(name) - 1;
  const [name, weight] = [column("srv_name"), column("srv_uweight")];
  if (name < 0 || weight < 0) throw new Error(`HAProxy: show servers state: got ${JSON.stringify(answer.slice(0, 200))}, want its columns`);
  return lines
    .filter((fields) => Number(fields[weight]) > 0)
    .map((fields) => fields[name]!)
    .sort();
}

/** Gives reads to these replicas and to no others. */
export async function giveReads(context: Context, nodes: readonly string[]): Promise<void> {
  const before = await readers(context);
  for (const node of before.filter((each) => !nodes.includes(each))) await haproxyCommand(context, `set server replicas/${node} weight 0`);
  for (const node of nodes) await haproxyCommand(context, `set server replicas/${node} weight 1`);
}

/** Lets the pooler take a node for the primary whatever Patroni says, while a planned restart is under way. */
export const trustPrimary = (context: Context, node: string) => haproxyCommand(context, `disable health write/${node}`);
export const checkPrimary = (context: Context, node: string) => haproxyCommand(context, `enable health write/${node}`);

/** Takes a replica out of the reads, and puts it back as soon as it is healthy. */
export const takeOut = (context: Context, node: string) => haproxyCommand(context, `set server replicas/${node} state maint`);
export const putBack = (context: Context, node: string) => haproxyCommand(context, `set server replicas/${node} state ready`);

/** Before a planned switchover: three checks would still let the old primary pass for one. */
export const retirePrimary = (context: Context, node: string) => haproxyCommand(context, `set server write/${node} state maint`);
/** Afterwards: down until a check finds it leading again. */
export const readmit = (context: Context, node: string) =>
  haproxyCommand(context, `set server write/${node} state ready; set server write/${node} health down`);
