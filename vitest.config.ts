import { defineConfig } from "vitest/config";

/** `bin/test --full`. */
const long = process.env.PGLADDER_TEST_FULL === "1";

const project = (name: string, include: string[], timeout: number, exclude: string[] = []) => ({
  test: { name, include, exclude, testTimeout: timeout, hookTimeout: timeout, fileParallelism: false },
});

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "fast",
          include: ["test/unit/**/*.test.ts", "test/component/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      project("postgres", ["test/postgres/**/*.test.ts"], 120_000),
      project("engine", ["test/engine/**/*.test.ts"], 600_000, long ? [] : ["test/engine/killed-up.test.ts"]),
      project("mirror", ["test/mirror/**/*.test.ts"], 1_200_000, long ? [] : ["test/mirror/stage3-faults.test.ts"]),
    ],
  },
});
