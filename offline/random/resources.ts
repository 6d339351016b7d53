import { randomBytes } from "node:crypto";
import type { Failure } from "../bridge/check.ts";
import { atLeast, flag, integer, map, type Rules, text } from "../bridge/rules.ts";
import { type Definition, tableHandler } from "../bridge/table.ts";
import { numberOf, type Props, textOf } from "../bridge/values.ts";
import { randomCharacters } from "./characters.ts";

const R = { replaces: true } as const;
const OUT = { output: true } as const;
const SECRET = { output: true, secret: true } as const;
const keepers = map(R);
const length = integer({ required: true, test: atLeast(1), ...R });
const least = integer({ default: 0, ...R });
const on = flag({ default: true, ...R });
const numeric = flag({ computed: true, ...R });

const STRING_RULES: Rules = {
  keepers,
  length,
  upper: on,
  lower: on,
  special: on,
  number: numeric,
  numeric,
  minUpper: least,
  minLower: least,
  minNumeric: least,
  minSpecial: least,
  overrideSpecial: text(R),
};

/** `number` is the old name of `numeric`: either sets both, neither means true. */
function settleNumeric(inputs: Props): void {
  const value = inputs.numeric ?? inputs.number ?? true;
  inputs.numeric = value;
  inputs.number ??= value;
}

function validateString(inputs: Props): Failure[] {
  const failures: Failure[] = [];
  const sum = ["minUpper", "minLower", "minNumeric", "minSpecial"].reduce((total, name) => total + numberOf(inputs[name]), 0);
  if (numberOf(inputs.length) < sum) {
    failures.push({
      property: "length",
      reason: `got ${numberOf(inputs.length)}, want at least ${sum}: the sum of minUpper, minLower, minNumeric and minSpecial`,
    });
  }
  if (["upper", "lower", "numeric", "special"].every((name) => inputs[name] === false)) {
    failures.push({ property: "numeric", reason: "got false, want at least one of upper, lower, numeric and special to be true" });
  }
  return failures;
}

const password: Definition = {
  meta: { schema_version: "3" },
  framework: true,
  rules: { ...STRING_RULES, result: text(SECRET) },
  complete: settleNumeric,
  validate: validateString,
  async create(inputs) {
    return { id: "none", outputs: { result: randomCharacters(inputs) } };
  },
};

const string: Definition = {
  meta: { schema_version: "2" },
  framework: true,
  rules: { ...STRING_RULES, result: text(OUT) },
  complete: settleNumeric,
  validate: validateString,
  async create(inputs) {
    const result = randomCharacters(inputs);
    return { id: result, outputs: { result } };
  },
};

const id: Definition = {
  meta: {},
  framework: true,
  rules: {
    keepers,
    byteLength: integer({ required: true, ...R }),
    prefix: text(R),
    b64Std: text(OUT),
    b64Url: text(OUT),
    dec: text(OUT),
    hex: text(OUT),
  },
  async create(inputs) {
    const bytes = randomBytes(numberOf(inputs.byteLength));
    const prefix = textOf(inputs.prefix);
    const hex = bytes.toString("hex");
    const url = bytes.toString("base64url");
    return {
      id: url,
      outputs: {
        b64Std: prefix + bytes.toString("base64"),
        b64Url: prefix + url,
        dec: prefix + (hex === "" ? "0" : BigInt(`0x${hex}`).toString()),
        hex: prefix + hex,
      },
    };
  },
};

const bytes: Definition = {
  meta: {},
  framework: true,
  rules: { keepers, length, base64: text(SECRET), hex: text(SECRET) },
  async create(inputs) {
    const made = randomBytes(numberOf(inputs.length));
    const base64 = made.toString("base64");
    return { id: base64, outputs: { base64, hex: made.toString("hex") } };
  },
};

export const randomPassword = tableHandler(password);
export const randomString = tableHandler(string);
export const randomId = tableHandler(id);
export const randomBytesResource = tableHandler(bytes);
