/** The output `shardMap`. Cannot prove that the rows are there: the moves do. */
import { expect, test } from "vitest";
import { shardMap } from "../../plan/shard-map.ts";
import { parseLastOutputs, plan, toOutputs } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { parse } from "../support/config.ts";
import { topologyOf } from "../support/mirror.ts";

const urlOf = ({ user, database }: { user: string; database: string }) => `${user}@${database}`;
const shard = (index: number, modulus: number, remainder: number) => ({
  name: `shard-${index}`,
  database: `app_shard_${index}`,
  class: { modulus, remainder },
  url: `app@app_shard_${index}`,
  readUrl: `app_ro@app_shard_${index}_read`,
});

test("each shard with its rows and its URLs, and the shard of each bucket", () => {
  expect(shardMap(topologyOf({ stage: 4, shards: { count: 3 } }), urlOf)).toEqual({
    buckets: 64,
    shards: [shard(0, 4, 0), shard(1, 2, 1), shard(2, 4, 2)],
    shardOfBucket: Array.from({ length: 16 }, () => [0, 1, 2, 1]).flat(),
  });
});

test("without shards that are wanted there is none", () => {
  const four = topologyOf({ stage: 4 });
  const back = plan(parse({ stage: 3 }), parseLastOutputs(toOutputs(four)), { cores: 8, memory: gib(64) });
  expect([topologyOf({ stage: 3 }), back].map((topology) => shardMap(topology, urlOf))).toEqual([{}, {}]);
});
