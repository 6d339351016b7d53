import { PassThrough } from "node:stream";
import { finished } from "node:stream/promises";
import Dockerode from "dockerode";
import { Failure, messageOf } from "./failure.ts";

/** The Docker engine that the stack's containers run on: DOCKER_HOST or the usual socket. */
export const engine = new Dockerode();

/** Whether ports that the engine publishes are ports of this machine. */
export const engineIsLocal = (): boolean => /^(unix:|$)/.test(process.env.DOCKER_HOST ?? "");

/** @throws Failure where no engine answers. */
export async function checkEngine(): Promise<void> {
  await engine.ping().catch((error: unknown) => {
    throw new Failure(`Docker: the engine does not answer (${messageOf(error)}): bin/setup starts it`);
  });
}

/** The result, or undefined where the engine has no such thing. */
export async function ifThere<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch((error: unknown) => {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  });
}

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command inside a running container. */
export async function execIn(container: string, command: readonly string[]): Promise<Ended> {
  const exec = await engine.getContainer(container).exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true });
  const stream = await exec.start({});
  const [out, err] = [new PassThrough(), new PassThrough()];
  const [stdout, stderr] = [collect(out), collect(err)];
  engine.modem.demuxStream(stream, out, err);
  await finished(stream, { writable: false });
  out.end();
  err.end();
  const { ExitCode } = await exec.inspect();
  return { code: ExitCode ?? -1, stdout: await stdout, stderr: await stderr };
}

async function collect(stream: PassThrough): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
