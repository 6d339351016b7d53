// The stand-in providers' pure parts and the set-up's decisions. Cannot prove: that the real plugins agree (test/engine/providers*.test.ts).
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { autoName, checkInputs } from "../../offline/bridge/check.ts";
import { diffState, driftedInputs, plannedState, settledState, withDefaults } from "../../offline/bridge/diff.ts";
import { flag, integer, list, object, type Rules, set, text } from "../../offline/bridge/rules.ts";
import { hasUnknown, type Props, UNKNOWN } from "../../offline/bridge/values.ts";
import { CONTAINER_RULES } from "../../offline/docker/container-rules.ts";
import { formatDuration, parseDuration } from "../../offline/docker/duration.ts";
import { randomCharacters } from "../../offline/random/characters.ts";
import { openSsh } from "../../offline/tls/openssh.ts";

const RULES: Rules = {
  name: text({ required: true, replaces: true }),
  size: integer(),
  start: flag({ default: true }),
  quiet: flag({ default: false }),
  labels: set(object({ label: text({ required: true }), value: text() }), { replaces: true }),
  host: text({ computed: true, replaces: true }),
  command: list(text(), { computed: true, replaces: true }),
  gpus: text({ unsupported: true }),
  id: text({ output: true }),
};

describe("checkInputs", () => {
  test("reports every problem at once, with its path", () => {
    const { failures } = checkInputs(RULES, { size: "many", labels: [{ value: "v" }], nonsense: 1, id: "x", gpus: "all" }, true);
    expect(failures.map(({ property, reason }) => `${property}: ${reason}`)).toEqual([
      'size: got "many", want a value of type integer',
      "labels[0].label: Missing required argument",
      "nonsense: got an unexpected property, want one of command, gpus, host, labels, name, quiet, size, start",
      "id: got an unexpected property, want one of command, gpus, host, labels, name, quiet, size, start",
      "gpus: the stand-in provider cannot do this; the real plugin is needed",
      "name: Missing required argument",
    ]);
  });

  test("fills in defaults other than zero, and takes numbers as text and text as numbers", () => {
    expect(checkInputs(RULES, { name: 5, size: "7" }, true)).toEqual({
      failures: [],
      inputs: { name: "5", size: 7, start: true, __defaults: ["start"] },
    });
  });

  test("leaves unknown values alone, and unknown properties of the newer kind of provider out", () => {
    expect(checkInputs(RULES, { name: UNKNOWN, size: UNKNOWN, nonsense: 1 }, false)).toEqual({
      failures: [],
      inputs: { name: UNKNOWN, size: UNKNOWN },
    });
  });

  test("a name that is left out is made once and kept", () => {
    const urn = "urn:pulumi:dev::p::docker:index/volume:Volume::data";
    const first: Props = {};
    autoName(urn, first, {}, Buffer.from("seed"));
    expect(first.name).toMatch(/^data-[0-9a-f]{7}$/);
    const again: Props = {};
    autoName(urn, again, first, Buffer.from("another"));
    expect(again.name).toBe(first.name);
  });
});

describe("diffState", () => {
  const state: Props = { name: "n", size: 3, start: true, host: "h", command: ["x"], labels: [{ label: "a", value: "1" }, { label: "b" }] };
  const diff = (inputs: Props) => diffState(RULES, state, withDefaults(RULES, inputs));
  const same: Props = { name: "n", size: 3, labels: [{ label: "b" }, { label: "a", value: "1" }] };

  test.each<[string, Props, object[]]>([
    ["nothing, sets in another order, computed ones left out", same, []],
    ["a computed one set to something else", { ...same, host: "g" }, [{ property: "host", kind: "update", replaces: true }]],
    ["a plain one left out", { name: "n", labels: same.labels ?? [] }, [{ property: "size", kind: "delete", replaces: false }]],
    ["an element of a set", { ...same, labels: [{ label: "b" }] }, [{ property: "labels", kind: "update", replaces: true }]],
    ["an unknown value", { ...same, name: UNKNOWN }, [{ property: "name", kind: "update", replaces: true }]],
    ["a default overridden", { ...same, start: false }, [{ property: "start", kind: "update", replaces: false }]],
  ])("%s", (_, inputs, want) => {
    expect(diff(inputs)).toEqual(want);
  });

  test("a computed list that a broken creation left out is a replacement", () => {
    const { command: _, ...broken } = state;
    expect(diffState(RULES, broken, withDefaults(RULES, same))).toEqual([{ property: "command", kind: "add", replaces: true }]);
  });

  test("planned states, settled states and drifted inputs", () => {
    expect(plannedState(RULES, { ...state, id: "i" }, withDefaults(RULES, { name: "m" }))).toEqual({
      name: "m",
      size: 0,
      start: true,
      quiet: false,
      host: "h",
      command: ["x"],
      id: "i",
    });
    expect(settledState(RULES, { name: "n", labels: [{ label: "a" }] }, true)).toEqual({
      name: "n",
      labels: [{ label: "a", value: "" }],
      command: [],
    });
    const inputs = { name: "n", size: 3, start: true, __defaults: ["start"] };
    expect(driftedInputs(RULES, inputs, { ...state, size: 4, start: false })).toEqual({ name: "n", size: 4, start: false, __defaults: [] });
  });
});

test("the container's table knows every input of the package's own types", () => {
  const source = readFileSync("node_modules/@pulumi/docker/container.d.ts", "utf8");
  const args = source.slice(source.indexOf("export interface ContainerArgs"));
  const names = [...args.matchAll(/^ {4}(\w+)\??: pulumi\.Input/gm)].map((match) => match[1] ?? "");
  const inputs = Object.entries(CONTAINER_RULES).filter(([, rule]) => !rule.output);
  expect(inputs.map(([name]) => name).sort()).toEqual(names.sort());
});

test("durations are Go's", () => {
  const cases = { "0s": 0, "1m30s": 9e10, "500ms": 5e8, "1.5h": 5.4e12, "-1s": -1e9, "0": 0 };
  for (const [written, nanoseconds] of Object.entries(cases)) expect(parseDuration(written)).toBe(nanoseconds);
  for (const wrong of ["", "5", "abc", "1d", "s"]) expect(parseDuration(wrong)).toBeUndefined();
  expect([0, 5e8, 5e9, 6e10, 9e10, 3.6e12, 3.661e12].map(formatDuration)).toEqual([
    "0s",
    "500ms",
    "5s",
    "1m0s",
    "1m30s",
    "1h0m0s",
    "1h1m1s",
  ]);
  fc.assert(fc.property(fc.integer({ min: 0, max: 1e9 }), (ms) => parseDuration(formatDuration(ms * 1e6)) === ms * 1e6));
});

test("random characters: the length, every minimum, and no class that is switched off", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 8, max: 64 }),
      fc.integer({ min: 0, max: 4 }),
      fc.integer({ min: 0, max: 4 }),
      (length, minUpper, minNumeric) => {
        const made = randomCharacters({ length, upper: true, lower: true, numeric: true, special: false, minUpper, minNumeric });
        const count = (pattern: RegExp): number => made.match(pattern)?.length ?? 0;
        return made.length === length && count(/[A-Z]/g) >= minUpper && count(/\d/g) >= minNumeric && /^[A-Za-z0-9]+$/.test(made);
      },
    ),
  );
  expect(() => randomCharacters({ length: 3 })).toThrow("the character set specified is empty");
});

test("OpenSSH has no P-224, as in the real provider", () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "secp224r1" });
  expect(openSsh(privateKey)).toEqual({ privateKey: "", publicKey: "", md5: "", sha256: "" });
});

test("unknown values are found at any depth", () => {
  expect([hasUnknown({ a: [{ b: UNKNOWN }] }), hasUnknown({ a: [{ b: "known" }] })]).toEqual([true, false]);
});

describe("bin/setup", () => {
  const setup = (script: string): string =>
    execFileSync("bash", ["-c", `source bin/setup; set +e; ${script}`], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

  test.each([
    ["3.259.0", "3.250.0", "yes"],
    ["3.250.0", "3.250.0", "yes"],
    ["3.99.0", "3.250.0", "no"],
    ["1.9", "1.21", "no"],
    ["", "3.250.0", "no"],
  ])("version %s is at least %s: %s", (version, least, want) => {
    expect(setup(`at_least "${version}" ${least} && echo yes || echo no`)).toBe(`${want}\n`);
  });

  test("a download's own failure is passed on at once", () => {
    expect(setup("while_moving sh -c 'exit 7'; echo $?; while_moving true; echo $?")).toBe("7\n0\n");
  });

  test("missing space, engine and rights are one message each", () => {
    const message = (script: string): string => setup(`( ${script} ) 2>&1; echo "exit $?"`);
    expect(message("df() { printf 'h\\n/dev/x 9 9 1048576 9%% /\\n'; }; need_space /data")).toBe(
      "setup: error: disk: got 1 GB free at /data, want at least 5 GB\nexit 1\n",
    );
    expect(message("engine_answers() { return 1; }; DOCKER_HOST=tcp://127.0.0.1:1 setup_engine")).toBe(
      "setup: error: Docker: no engine answers at DOCKER_HOST=tcp://127.0.0.1:1\nexit 1\n",
    );
    expect(message("PATH=/none; need_package 'Docker engine' docker.io iptables")).toBe(
      "setup: error: Docker engine: install docker.io iptables with this system's package manager (only Debian's apt is known here), then run again\nexit 1\n",
    );
  });
});
