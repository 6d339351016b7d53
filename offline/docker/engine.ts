import Docker from "dockerode";

let engine = new Docker();

/** The connection to the Docker engine: DOCKER_HOST or the usual socket, unless the provider's configuration names another. */
export function docker(): Docker {
  return engine;
}

/** Takes `docker:host`; other settings of the real provider (certificates, ssh, registries) are refused by name. */
export async function configureEngine(config: Readonly<Record<string, string>>): Promise<void> {
  for (const key of Object.keys(config)) {
    if (key !== "host" && key !== "version") throw new Error(`docker:${key}: the stand-in docker provider only knows docker:host`);
  }
  const host = config.host;
  if (host !== undefined) process.env.DOCKER_HOST = host;
  engine = new Docker();
  try {
    await engine.ping();
  } catch (error) {
    throw new Error(`failed to connect to any docker daemon: ${messageOf(error)}`);
  }
}

/** True for the engine's "no such container, image, network, volume". */
export function isMissing(error: unknown): boolean {
  return statusOf(error) === 404;
}

export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "statusCode" in error ? Number(error.statusCode) : undefined;
}

/** The engine's own words, without the client's prefix. */
export function messageOf(error: unknown): string {
  if (error instanceof Error && "json" in error) {
    const { json } = error;
    if (typeof json === "object" && json !== null && "message" in json) return String(json.message);
  }
  return error instanceof Error ? error.message : String(error);
}

/**
 * Runs `attempt` every second while it answers "busy".
 * @throws after `seconds`, in the words of the real provider.
 */
export async function retryWhileBusy(seconds: number, state: string, attempt: () => Promise<"done" | "busy">): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while ((await attempt()) === "busy") {
    if (Date.now() > deadline) {
      throw new Error(`timeout while waiting for state to become 'removed' (last state: '${state}', timeout: ${seconds}s)`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
