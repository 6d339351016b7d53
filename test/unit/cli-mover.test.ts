/** Waiting for the mover, as its status tells it. */
import { expect, test } from "vitest";
import { type MoverStatus, runningOn, untilSettled } from "../../cli/mover.ts";

const status = (more: Partial<MoverStatus>): MoverStatus => ({ stage: 2, phase: "moving", moving: null, held: [], done: [], ...more });

async function wait(looks: (MoverStatus | Error)[]): Promise<{ lines: string[]; end: MoverStatus | Error }> {
  const lines: string[] = [];
  const running = {
    status: async () => {
      const look = looks.length > 1 ? looks.shift()! : looks[0]!;
      if (look instanceof Error) throw look;
      return look;
    },
  };
  const end = await untilSettled(
    running,
    (line) => lines.push(line),
    () => Promise.resolve(),
  ).catch((error: Error) => error);
  return { lines, end };
}

test("every step is said once, what is waited for too", async () => {
  const settled = status({ phase: "settled", done: ["main-2 joined", "reads go to main-2"] });
  const { lines, end } = await wait([
    status({ moving: "main-2 is not streaming yet" }),
    status({ moving: "main-2 is not streaming yet" }),
    status({ moving: "main-2 joined", done: ["main-2 joined"] }),
    settled,
  ]);
  expect(lines).toEqual(["main-2 is not streaming yet …", "main-2 joined", "reads go to main-2"]);
  expect(end).toEqual(settled);
});

test("steps from before are not said again, also when the mover drops its oldest", async () => {
  const { lines } = await wait([
    status({ done: ["a", "b", "c"] }),
    status({ done: ["b", "c", "d"] }),
    status({ phase: "settled", done: ["c", "d", "e"] }),
  ]);
  expect(lines).toEqual(["d", "e"]);
});

test("a mover that is just replaced is waited for, one that stays silent is an error", async () => {
  const silent = new Error("pgladder-dev-agent cannot be asked");
  expect((await wait([silent, silent, status({ phase: "settled" })])).end).toEqual(status({ phase: "settled" }));
  expect((await wait([silent])).end).toBe(silent);
});

test("on aws it cannot be asked, and who asks is told what to do", () => {
  expect(() => runningOn("aws", "shop")).toThrow("stack shop: the mover on aws cannot be asked yet; run pulumi up there (docs/aws.md)");
});
