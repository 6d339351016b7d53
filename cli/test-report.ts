import * as z from "zod";

/** Part of the report that vitest's JSON reporter writes. */
const REPORT = z.object({
  testResults: z.array(z.object({ status: z.string(), assertionResults: z.array(z.object({ status: z.string() })) })),
});

export interface Count {
  passed: number;
  failed: number;
}

/**
 * Tests that passed and failed. A file that could not be loaded, or whose set-up failed, has no failed test of its own: it counts as
 * one. No report at all is one failure.
 */
export function countOf(report: unknown): Count {
  if (report === undefined) return { passed: 0, failed: 1 };
  return sumOf(
    REPORT.parse(report).testResults.map(({ status, assertionResults }) => {
      const of = (wanted: string) => assertionResults.filter((test) => test.status === wanted).length;
      return { passed: of("passed"), failed: Math.max(of("failed"), status === "failed" ? 1 : 0) };
    }),
  );
}

export const sumOf = (counts: readonly Count[]): Count => ({
  passed: counts.reduce((sum, { passed }) => sum + passed, 0),
  failed: counts.reduce((sum, { failed }) => sum + failed, 0),
});
