/** docs/requirements.md names tests that exist. Cannot prove: that they hold what the page says. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const root = new URL("../../", import.meta.url);
const page = readFileSync(new URL("docs/requirements.md", root), "utf8");
const rows = [...page.matchAll(/^\| ([A-Z]\d) \| (.*?) \| (.*) \|$/gm)].map(([, row, , tests]) => ({ row: row!, tests: tests! }));

test("every row of stages 3 and 4 has at least one test", () => {
  const wanted = "S3 S4 X1 X2 X3 X4 X5 T1 T2 T3 T4 T5 M1 M2 C2 C3 C4 R2 K1 K2 K3 R1 H1 H2 H3 H4 D1 D2 D3 D4 O1 O4 Z1 Z2".split(" ");
  expect(rows.map(({ row }) => row)).toEqual(wanted);
});

test.each(rows)("$row: each test that is named is in its file", ({ tests }) => {
  const named = [...tests.matchAll(/`([a-z]+\/[\w-]+)`: "(.+?)"(?=<br>|$)/g)].map(([, file, name]) => ({ file: file!, name: name! }));
  expect(named.length).toBe(tests.match(/`[a-z]+\/[\w-]+`: "/g)?.length);
  expect(named.length).toBeGreaterThan(0);
  const missing = named.filter(({ file, name }) => !readFileSync(new URL(`test/${file}.test.ts`, root), "utf8").includes(`"${name}"`));
  expect(missing).toEqual([]);
});
