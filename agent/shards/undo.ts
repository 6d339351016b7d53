/** A move that is given up before its flip: everything on the primary as before. */
import { dropTrees, ownSequences } from "./gateway/index.ts";
import { dropGlobals } from "./globals.ts";
import { readMap, setMap, wholeMap } from "./map.ts";
import { dropSlot, endStream } from "./replication.ts";
import { onServer } from "./session.ts";
import { forgetWayBack } from "./wayback.ts";
import { forward, type Outcome, type Work } from "./work.ts";

/** The shards keep what they have, fenced: the next climb begins with empty tables. */
export async function undo({ gateway, fleet, passing }: Work): Promise<Outcome> {
  await dropTrees(gateway);
  // The primary first: it keeps log for these, also when a shard is away.
  for (const shard of fleet.shards) await dropSlot(gateway, forward(shard));
  for (const shard of fleet.shards) {
    await onServer(shard, (client) => endStream(gateway, client, forward(shard)));
    await passing("a stream has ended");
  }
  await forgetWayBack({ fleet });
  await dropGlobals(fleet);
  await ownSequences(gateway, fleet);
  const map = await readMap(gateway);
  if (map && map.moving.length > 0)
    await setMap(gateway, { ...wholeMap(fleet), version: map.version + 1, here: fleet.database, moving: [] }, 0);
  return "done";
}
