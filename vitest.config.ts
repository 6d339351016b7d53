import { defineConfig } from "vitest/config";

const project = (name: string, include: string[], timeout: number) => ({
  test: { name, include, testTimeout: timeout, hookTimeout: timeout, fileParallelism: false },
});

export default defineConfig({
  test: {
    projects: [
      { test: { name: "fast", include: ["test/unit/**/*.test.ts", "test/component/**/*.test.ts"], testTimeout: 20_000 } },
      project("postgres", ["test/postgres/**/*.test.ts"], 120_000),
      project("engine", ["test/engine/**/*.test.ts"], 600_000),
      project("mirror", ["test/mirror/**/*.test.ts"], 1_200_000),
    ],
  },
});
