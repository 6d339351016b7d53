/** sql/platform/README.md says what the files say. Cannot prove: that the sentences are true. */
import { expect, test } from "vitest";
import { README, readFiles, readReadme, renderReadme, sentenceOf } from "../../scripts/platform.ts";

test(`${README} is what scripts/platform.ts makes of the files, a line each`, () => {
  const files = readFiles();
  const readme = readReadme();
  expect(readme).toBe(renderReadme(files));
  for (const { name } of files) expect(readme.match(new RegExp(`^\\| \\[\\d{4}\\]\\(${name}\\) \\| .+ \\|$`, "gm"))).toHaveLength(1);
});

test.each([
  ["-- View ladder.a: one line.\nselect 1;\n", "View ladder.a: one line"],
  ["-- Function ladder.b: goes on,\n-- here. More is for readers.\n-- And more.\n", "Function ladder.b: goes on, here"],
  ["-- No full stop\nselect 1;\n", undefined],
  ["select 1;\n-- Too late.\n", undefined],
  ["", undefined],
])("%j begins with the sentence %j", (text, sentence) => expect(sentenceOf(text)).toBe(sentence));

test("every file without a sentence is named at once", () => {
  const files = [
    { name: "0001_a.sql", text: "select 1;\n" },
    { name: "0002_b.sql", text: "-- Table ladder.b: rows.\n" },
    { name: "0003_c.sql", text: "-- c\n" },
  ];
  expect(() => renderReadme(files)).toThrow(/^sql\/platform: 2 problems\n {2}0001_a\.sql: got .*\n {2}0003_c\.sql: got /);
});

test("names with their schema are marked, bars are escaped", () => {
  expect(renderReadme([{ name: "0001_a.sql", text: "-- Views ladder.a and ladder.b_c: a|b.\n" }])).toContain(
    "| [0001](0001_a.sql) | Views `ladder.a` and `ladder.b_c`: a\\|b |\n",
  );
});
