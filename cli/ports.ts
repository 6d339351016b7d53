import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";

/** What listens on a port of this machine's 127.0.0.1, in words; undefined when it is free. */
export async function portHolder(port: number): Promise<string | undefined> {
  const code = await new Promise<string | undefined>((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(undefined)));
  });
  if (code !== "EADDRINUSE") return undefined;
  const pid = listenerOf(port);
  return pid === undefined ? "another process" : `process ${pid} (${commandOf(pid)})`;
}

const LISTENING = "0A";

/** The process that listens, found by the kernel's socket table; undefined where it is another user's. */
function listenerOf(port: number): string | undefined {
  const inodes = new Set(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) =>
      readFileSync(table, "utf8")
        .split("\n")
        .slice(1)
        .map((line) => line.trim().split(/\s+/))
        .filter(([, local, , state]) => state === LISTENING && Number.parseInt(local!.split(":")[1]!, 16) === port)
        .map((columns) => `socket:[${columns[9]}]`),
    ),
  );
  return readdirSync("/proc").find((pid) => /^\d+$/.test(pid) && linksOf(`/proc/${pid}/fd`).some((link) => inodes.has(link)));
}

function linksOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder).map((file) => {
      try {
        return readlinkSync(`${folder}/${file}`);
      } catch {
        return "";
      }
    });
  } catch {
    return [];
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "ended meanwhile";
  }
}
