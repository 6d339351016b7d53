/** The SMALLINT values: the documents' numbers, and what is generated from them. Cannot prove: that PostgreSQL takes it (postgres/values). */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as values from "../../client/values.ts";
import { generated, readDomains, renderSql, renderTypeScript, withTables } from "../../scripts/values.ts";

const root = new URL("../../", import.meta.url);

/** The requirement documents' tables, written down a second time. */
const DOCUMENTS = {
  CHANNEL: { web: 0, whatsapp: 1, telegram: 2, msteams: 3, slack: 4, email: 5, sms: 6, voice: 7, instagram: 8, api: 9 },
  MESSAGE_ROLE: { user: 1, assistant: 2, system: 3, tool: 4, episodic: 9, compact: 10 },
  MESSAGE_TYPE: { text: 0, image: 1, audio: 2, video: 3, document: 4, location: 5, contact: 6, sticker: 7, reaction: 8 },
  LLM_PROVIDER: {
    openai: 0,
    anthropic: 1,
    azure_openai: 2,
    azure_claude: 3,
    google: 4,
    local: 5,
    ollama: 6,
    groq: 7,
    mistral: 8,
    cohere: 9,
  },
  TASK_STATUS: { pending: 0, ready: 1, running: 2, paused: 3, waiting_approval: 4, completed: 5, failed: 6, cancelled: 7 },
  TASK_PRIORITY: { low: 0, normal: 1, high: 2, urgent: 3, critical: 4 },
  EXECUTION_MODE: { manual: 0, supervised: 1, autonomous: 2 },
  RISK_LEVEL: { none: 0, low: 1, medium: 2, high: 3, critical: 4 },
  APPROVAL_STATUS: { pending: 0, approved: 1, rejected: 2, expired: 3, skipped: 4 },
  INTENT_TYPE: { unknown: 0, app_create: 1, todo: 2, monitor: 3, action: 4, schedule: 5, goal: 6, tool: 7, query: 8 },
  MEMORY_TYPE: { short: 0, long: 1, episodic: 2, semantic: 3, procedural: 4 },
  SYNC_STATUS: { synced: 0, pending: 1, conflict: 2, error: 3, deleted: 4 },
};

test("TypeScript has the documents' twelve tables and no others", () => {
  const constants = Object.fromEntries(Object.entries(values).filter(([name]) => !name.endsWith("_NAME")));
  expect(constants).toEqual(DOCUMENTS);
});

test("every number leads back to its name", () => {
  const names = Object.fromEntries(Object.entries(values).filter(([name]) => name.endsWith("_NAME")));
  expect(names).toEqual(
    Object.fromEntries(
      Object.entries(DOCUMENTS).map(([name, numbers]) => [
        `${name}_NAME`,
        Object.fromEntries(Object.entries(numbers).map(([of, number]) => [number, of])),
      ]),
    ),
  );
});

test("the types are the numbers and the names", () => {
  const channel: values.Channel = values.CHANNEL.email;
  const name: values.ChannelName = values.CHANNEL_NAME[channel];
  // @ts-expect-error no such number
  const wrong: values.Channel = 10;
  // @ts-expect-error no such name
  const misspelled: values.ChannelName = "e-mail";
  expect([channel, name, wrong, misspelled]).toEqual([5, "email", 10, "e-mail"]);
});

test.each(generated())("$path is what the source gives", ({ path, text }) => {
  expect(readFileSync(new URL(path, root), "utf8")).toBe(text);
});

const source = (text: string) => () => readDomains(text);
const domain = (entries: string) => `mood:\n  about: Mood\n  columns: [users.mood]\n  values: ${entries}\n`;

describe("the source", () => {
  test("a new domain becomes functions, rows of the view, constants and types", () => {
    const domains = readDomains(domain(`[[7, sad, "It's raining"], [-1, so_so, Middling]]`));
    expect(renderSql(domains)).toContain(
      `return case value\n  when -1 then 'so_so'\n  when 7 then 'sad'\nend;\ncreate or replace function mood_value(name text)`,
    );
    expect(renderSql(domains)).toContain(
      `  ('mood', -1::smallint, 'so_so', 'Middling'),\n  ('mood', 7::smallint, 'sad', 'It''s raining')\n`,
    );
    expect(renderTypeScript(domains)).toContain(
      `export const MOOD = {\n  /** Middling */\n  so_so: -1,\n  /** It's raining */\n  sad: 7,\n} as const;`,
    );
    expect(renderTypeScript(domains)).toContain("export type Mood = (typeof MOOD)[MoodName];");
  });

  test("numbers and names that come twice are named, all at once", () => {
    expect(source(domain("[[1, a, A], [1, b, B], [2, b, B]]"))).toThrow(
      'sql/values.yaml: 2 problems\n  mood.values: got 1, want each number and name once\n  mood.values: got "b", want each number and name once',
    );
  });

  test.each([
    ["a number beyond SMALLINT", domain("[[32768, a, A]]"), /mood\.values\.0\.0: got/],
    ["a name that is no identifier", domain("[[1, 'a-b', A]]"), /mood\.values\.0\.1: got/],
    ["no values", domain("[]"), /mood\.values: got/],
    ["an unknown key", `${domain("[[1, a, A]]")}  colour: red\n`, /mood: got .*colour/],
  ])("%s is refused", (_, text, message) => {
    expect(source(text)).toThrow(message);
  });

  test("a page without the marks is refused", () => {
    expect(() => withTables("# Values", "|")).toThrow(/docs\/guide\/values\.md: got no lines/);
  });
});
