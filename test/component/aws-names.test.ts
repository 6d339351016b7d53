/** Names and tags of the AWS target: unique in an account, within AWS' limits, stable. Pure; cannot prove which limit AWS holds. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { namingOf, taggingOf } from "../../components/aws/names.ts";

describe("names", () => {
  test("say project, stack and part, and end in a hash", () => {
    expect(namingOf("pgladder", "dev")("main-1")).toBe("pgladder-dev-main-1-95f920");
    expect(namingOf("pgladder", "dev")("main-2")).toBe("pgladder-dev-main-2-fddc19");
  });

  test("are cut where the limit asks for it: the part stays, the hash stays", () => {
    const naming = namingOf("a-project-with-quite-a-long-name", "production-of-the-whole-company");
    expect(naming("main-eu-west-1-1", 63)).toBe("a-project-with-quite-a-long-name-main-eu-west-1-1-835679");
    expect(naming("door-us-east-1", 32)).toBe("a-project-door-us-east-1-cfdaca");
  });

  test("a limit that leaves no room for a name is a mistake of ours", () => {
    expect(() => namingOf("pgladder", "dev")("main-1", 19)).toThrow("name of main-1: got a limit of 19, want at least 20");
  });

  const word = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/);
  const part = fc.stringMatching(/^[a-z][a-z0-9]*(-[a-z0-9]+){0,5}$/).filter((text) => text.length <= 60);

  test("fit every limit and AWS' strictest rules, whatever project and stack are called", () => {
    fc.assert(
      fc.property(word, word, part, fc.integer({ min: 20, max: 255 }), (project, stack, its, max) => {
        const name = namingOf(project, stack)(its, max);
        expect(name.length).toBeLessThanOrEqual(max);
        expect(name).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
        expect(namingOf(project, stack)(its, max)).toBe(name);
      }),
    );
  });

  test("no two of them meet: other projects, stacks and parts, also where the readable half is the same", () => {
    const all = [
      namingOf("pgladder", "dev")("main-1"),
      namingOf("pgladder-dev", "main")("1"),
      namingOf("pgladder", "dev-main")("1"),
      namingOf("PGladder", "dev")("main-1"),
      namingOf("pgladder", "dev_")("main-1"),
    ];
    expect(new Set(all).size).toBe(all.length);
    const long = "x".repeat(90);
    expect(namingOf(long, `${long}1`)("main-1", 32)).not.toBe(namingOf(long, `${long}2`)("main-1", 32));
  });
});

test("tags say whose a resource is", () => {
  expect(taggingOf("pgladder", "dev")("main-1")).toEqual({ project: "pgladder", stack: "dev", part: "main-1", "managed-by": "pgladder" });
});
