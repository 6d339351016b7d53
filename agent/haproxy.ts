import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { CONTROL_PORT } from "../plan/render/haproxy.ts";
import type { Context } from "./connections.ts";

/**
 * Runs one command of HAProxy's runtime interface, with the agent's certificate.
 *
 * @throws with HAProxy's words when it did not take the command, which answers nothing when it did.
 */
export async function haproxyCommand({ desired, files }: Context, command: string): Promise<void> {
  const { host } = desired.pooler;
  const tls = { ca: readFileSync(`${files}/ca.crt`), cert: readFileSync(`${files}/agent.crt`), key: readFileSync(`${files}/agent.key`) };
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect({ host, port: CONTROL_PORT, servername: host, timeout: 3_000, ...tls });
    let text = "";
    socket.on("secureConnect", () => socket.write(`${command}\n`));
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("timeout", () => socket.destroy(new Error("no answer in 3 s")));
    socket.on("error", reject);
    socket.on("close", () => resolve(text.trim()));
  });
  if (answer !== "") throw new Error(`HAProxy: ${command}: ${answer}`);
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
