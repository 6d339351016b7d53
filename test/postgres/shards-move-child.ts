/** A mover in a process of its own, which says where it stops and then waits to be killed. Arguments: JSON of ChildOptions. */
import { Client } from "pg";
import { advanceShards } from "../../agent/shards/index.ts";
import { applyDefinitions } from "../../agent/shards/schema.ts";
import type { Fleet, Server } from "../../agent/shards/types.ts";
import { ms } from "../../plan/types.ts";

export interface ChildOptions {
  /** Without its functions. */
  fleet: Fleet;
  /** Of the gateway, then of the shards. */
  ports: readonly number[];
  wanted: readonly number[];
  folder: string;
  /** Where to stop. */
  point: string;
}

const { fleet, ports, wanted, folder, point }: ChildOptions = JSON.parse(process.argv[2]!);

const reach = <T extends Server>(server: T, port: number): T => ({
  ...server,
  connect: async () => {
    const client = new Client({ host: "127.0.0.1", port, user: "ladder_admin", database: "app" });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  },
});
const here: Fleet = {
  ...fleet,
  gateway: reach(fleet.gateway, ports[0]!),
  shards: fleet.shards.map((shard, index) => reach(shard, ports[index + 1]!)),
  log: () => undefined,
};

// Not longer than whoever started it.
process.stdin.on("end", () => process.exit()).resume();

for (;;) {
  const shown = await advanceShards({
    ...{ fleet: here, wanted, log: () => undefined, done: () => undefined, announced: ms(100), slice: ms(500) },
    define: async ({ connect, database: server }) => {
      await applyDefinitions({ connect, folder, role: "app", lockTimeout: ms(2_000), log: () => undefined, server });
    },
    passing: async (passed) => {
      if (passed !== point) return;
      process.stdout.write(`${passed}\n`);
      await new Promise((resolve) => setTimeout(resolve, 600_000));
    },
  }).catch((error: Error) => `will look again: ${error.message}`);
  if (shown === undefined) process.exit();
  await new Promise((resolve) => setTimeout(resolve, 20));
}
