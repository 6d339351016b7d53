/** When `bin/up` asks the doctor, and what it makes of the answer. Cannot prove: what the doctor finds. */
import { expect, test } from "vitest";
import { refuseUnready } from "../../cli/commands/ready.ts";
import { Failure } from "../../cli/failure.ts";
import { type LastOutputs, toOutputs } from "../../plan/topology.ts";
import { parse } from "../support/config.ts";
import { topologyOf } from "../support/mirror.ts";

const ROUTED = { routed: 0.9, routedRole: ["worker"] };
const FINDINGS = [
  { object: "orders", level: "blocks" as const, why: "no shard key", fix: "alter table orders add owner bigint" },
  { object: "users", level: "costs" as const, why: "a scan", fix: "" },
];

async function asked(stage: number, last: LastOutputs | undefined, blocks: number) {
  const calls: unknown[] = [];
  const said: string[] = [];
  const findings = FINDINGS.slice(1 - blocks);
  const outcome = await refuseUnready(
    parse({ stage }),
    last,
    ROUTED,
    (line) => said.push(line),
    async (_, options, known) => {
      calls.push(options);
      // Without it the stack would be opened once more, and the stage that is asked for would be lost.
      expect(known).toBe(last);
      return { blocks, costs: 1, fine: 0, findings, notes: ["measured: 1,000 statements a second"] };
    },
  ).catch((error: unknown) => error);
  return { calls, said: said.length, outcome };
}

const at = (stage: number) => toOutputs(topologyOf({ stage }));

test.each([
  ["a new stack", 4, undefined],
  ["another stage", 3, at(2)],
  ["shards that are there", 4, at(4)],
])("%s: nothing is asked", async (_, stage, last) => {
  expect(await asked(stage, last, 1)).toEqual({ calls: [], said: 0, outcome: undefined });
});

test.each([1, 2, 3])("from stage %i onto shards: the doctor measures, and hears what comes past the gateway", async (stage) => {
  expect(await asked(4, at(stage), 0)).toEqual({
    calls: [{ seconds: 5, measure: true, ...ROUTED }],
    said: 1,
    outcome: undefined,
  });
});

test("what blocks is said with its fix, and nothing else", async () => {
  const { outcome } = await asked(4, at(3), 1);
  expect(outcome).toBeInstanceOf(Failure);
  expect((outcome as Failure).message.split("\n")).toEqual([
    "stack dev: not yet ready for shards; nothing was changed",
    "",
    "Blocks: first to be changed (1)",
    "  orders: no shard key",
    "      alter table orders add owner bigint",
    "",
    "measured: 1,000 statements a second",
    "",
    "1 block, 0 costs, 0 fine: a climb to stage 4 is refused until nothing blocks",
  ]);
});
