/** The host's HTTP endpoint, in Patroni's manner: 200 for yes, 503 for no. */
import { createServer, type Server } from "node:http";
import type { Nodes } from "./nodes.ts";

/** What the endpoint tells. */
export interface Health {
  nodes: Pick<Nodes, "isPrimary" | "isReplica" | "lag" | "states">;
  /** Whether this host serves clients: its own processes, not the databases, so that an outage of those replaces no host. */
  serving: () => boolean;
}

/**
 * Answers one request by its path:
 * `/healthy` this host serves clients; `/primary/<node>` takes writes; `/replica/<node>?lag=<bytes>&age=<seconds>` a replica at most
 * that far behind; `/status` all of it as JSON.
 */
export function answer({ nodes, serving }: Health, url: string): { status: number; body: unknown } {
  const { pathname, searchParams } = new URL(url, "http://host");
  const [, what = "", name = ""] = pathname.split("/");
  const judge = (yes: boolean, body: unknown) => ({ status: yes ? 200 : 503, body });
  const state = nodes.states().find((each) => each.name === name);
  const limit = (key: string) => (searchParams.has(key) ? Number(searchParams.get(key)) : Number.POSITIVE_INFINITY);
  switch (what) {
    case "healthy":
      return judge(serving(), { serving: serving() });
    case "primary":
      return judge(nodes.isPrimary(name), state ?? null);
    case "replica":
      return judge(nodes.isReplica(name, { bytes: limit("lag"), seconds: limit("age") }), { ...state, lag: nodes.lag(name) });
    case "status":
      return judge(
        serving(),
        nodes.states().map((each) => ({ ...each, primary: nodes.isPrimary(each.name), lag: nodes.lag(each.name) })),
      );
    default:
      return { status: 404, body: null };
  }
}

export function serveHealth(health: Health, port: number): Server {
  const server = createServer((request, response) => {
    const { status, body } = answer(health, request.url ?? "/");
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  return server.listen(port);
}
