// A program that loses the engine half-way must not look like one that has no resources. Cannot prove: how often connections break.
import * as grpc from "@grpc/grpc-js";
import { runtime } from "@pulumi/pulumi";
import { RandomId } from "@pulumi/random";
import { expect, test } from "vitest";
import { Bench, PLUGINS } from "./providers-harness.ts";

test.each(PLUGINS)("a lost connection fails the update and deletes nothing, $kind plugins", async (plugins) => {
  const bench = await Bench.open(plugins, "lost");
  try {
    await bench.up(async () => ({ id: new RandomId("kept", { byteLength: 4 }).id }));
    const before = await bench.recorded("kept");
    const lost = Object.assign(new Error("14 UNAVAILABLE: No connection established"), { code: grpc.status.UNAVAILABLE });
    const printed = await bench.failingUp(async () => {
      const monitor = runtime.getMonitor() as unknown as Record<string, unknown>;
      monitor.registerResource = (_request: unknown, answer: (error: Error) => void) => answer(lost);
      return { id: new RandomId("kept", { byteLength: 4 }).id };
    });
    expect(printed).toContain("Resource monitor is terminating");
    expect(await bench.recorded("kept")).toEqual(before);
    expect(before?.id).toMatch(/^[\w-]{6}$/);
  } finally {
    await bench.close();
  }
});
