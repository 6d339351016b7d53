import { randomInt } from "node:crypto";
import { numberOf, type Props, textOf } from "../bridge/values.ts";

const DIGITS = "0123456789";
const LOWER = "abcdefghijklmnopqrstuvwxyz";
const UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const SPECIAL = "!@#$%&*()-_=+[]{}<>:?";

/**
 * A random string of `length` characters: first the required minimum of each class, the rest from all classes that are switched on, then
 * shuffled. Minimums count even for a class that is switched off, as in the real provider.
 * @param inputs length, upper, lower, numeric, special, minUpper, minLower, minNumeric, minSpecial, overrideSpecial.
 */
export function randomCharacters(inputs: Props): string {
  const special = textOf(inputs.overrideSpecial) || SPECIAL;
  const classes = [
    { on: inputs.upper, characters: UPPER, least: numberOf(inputs.minUpper) },
    { on: inputs.lower, characters: LOWER, least: numberOf(inputs.minLower) },
    { on: inputs.numeric, characters: DIGITS, least: numberOf(inputs.minNumeric) },
    { on: inputs.special, characters: special, least: numberOf(inputs.minSpecial) },
  ];
  const all = classes.map(({ on, characters }) => (on === true ? characters : "")).join("");
  if (all === "") throw new Error("the character set specified is empty");
  const picked = classes.flatMap(({ characters, least }) => pick(characters, least));
  picked.push(...pick(all, numberOf(inputs.length) - picked.length));
  for (let last = picked.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [picked[last], picked[other]] = [picked[other] ?? "", picked[last] ?? ""];
  }
  return picked.join("");
}

function pick(characters: string, count: number): string[] {
  const choice = [...characters];
  return Array.from({ length: Math.max(0, count) }, () => choice[randomInt(choice.length)] ?? "");
}
