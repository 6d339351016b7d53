/** Which of the pooler's databases a step on a cluster has to hold up. Cannot prove that nothing fails then: test/mirror/stage4 does. */
import { expect, test } from "vitest";
import { type Context, clusterContext } from "../../agent/connections.ts";
import { leadingTo } from "../../agent/pooler.ts";
import { desired } from "../../plan/mirror.ts";
import { topologyOf } from "../support/mirror.ts";

const gateway: Context = {
  files: "",
  desired: desired(topologyOf({ stage: 4, shards: { count: 2 } })),
  passwords: {},
  log: () => undefined,
};

test("the gateway's own, and with a shard the gateway's too: it reaches shards past the pooler", () => {
  const shard = clusterContext(gateway, gateway.desired.shards[1]!);
  expect(leadingTo(gateway, ["write"])).toEqual(["app"]);
  expect(leadingTo(gateway, ["write", "read"])).toEqual(["app", "app_read"]);
  expect(leadingTo(shard, ["write"])).toEqual(["app_shard_1", "app", "app_read"]);
  expect(leadingTo(shard, ["read"])).toEqual(["app_shard_1_read", "app_read"]);
});
