/** The verdict on any history. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { counts, del, ins, judged, row, type Step, upd } from "./rehearsal-seed.ts";

test("property: in any history, one seeded damage is found as what it is, and without it there is none", async () => {
  const history = fc.array(fc.record({ updates: fc.nat(3), deleted: fc.boolean() }), { minLength: 1, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(
      history,
      fc.nat(),
      fc.constantFrom("none", "lost", "doubled", "wrong", "resurrected", "phantom"),
      async (rows, at, kind) => {
        const steps = rows.flatMap(({ updates, deleted }, n): Step[] => [
          ["acknowledged", ins(2 * n)],
          ...Array.from({ length: updates }, (): Step => ["acknowledged", upd(2 * n)]),
          ...(deleted ? ([["acknowledged", del(2 * n)]] satisfies Step[]) : []),
        ]);
        const alive = rows.flatMap(({ updates, deleted }, n) => (deleted ? [] : [row(2 * n, updates)]));
        const dead = rows.flatMap(({ deleted }, n) => (deleted ? [row(2 * n)] : []));
        const victim = alive[at % Math.max(1, alive.length)];
        const revived = dead[at % Math.max(1, dead.length)];
        fc.pre(kind === "none" || kind === "phantom" || (kind === "resurrected" ? revived : victim) !== undefined);
        const damaged = {
          none: () => alive,
          lost: () => alive.filter((one) => one !== victim),
          doubled: () => [...alive, victim!],
          wrong: () => alive.map((one) => (one === victim ? { ...one, counter: one.counter + 1 } : one)),
          resurrected: () => [...alive, revived!],
          phantom: () => [...alive, row(2 * (at % rows.length) + 1, 0, "999999")],
        }[kind]();
        const result = await judged(
          steps,
          damaged.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
        );
        expect(counts(result)).toEqual(kind === "none" ? {} : { [kind]: 1 });
        expect(result.passed).toBe(kind === "none");
      },
    ),
    { numRuns: 60 },
  );
});
