/** Formats that a property's text may have to have. */
import { isIP } from "node:net";

const CIDR = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/;

export interface Block {
  readonly base: number;
  readonly prefix: number;
}

/** An IPv4 block, or undefined for text that is none. */
export function blockOf(text: string): Block | undefined {
  const match = CIDR.exec(text);
  if (!match || isIP(match[1]!) !== 4 || Number(match[2]) > 32) return undefined;
  const base = match[1]!.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  return { base, prefix: Number(match[2]) };
}

const size = (block: Block) => 2 ** (32 - block.prefix);
export const hasHostBits = (block: Block): boolean => block.base % size(block) !== 0;
export const contains = (outer: Block, inner: Block): boolean =>
  inner.base >= outer.base && inner.base + size(inner) <= outer.base + size(outer);
export const overlaps = (a: Block, b: Block): boolean => a.base < b.base + size(b) && b.base < a.base + size(a);

/** Minutes since midnight of `HH:MM`. */
const minutes = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5));
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/** The minutes of a week that `ddd:HH:MM-ddd:HH:MM` covers, as [from, length]. */
export function weekly(window: string): [from: number, length: number] {
  const [from, to] = window.split("-").map((end) => DAYS.indexOf(end.slice(0, 3).toLowerCase()) * 1_440 + minutes(end.slice(4)));
  return [from!, (to! - from! + 10_080) % 10_080];
}

/** The minutes of a day that `HH:MM-HH:MM` covers, as [from, length]. */
export function daily(window: string): [from: number, length: number] {
  const [from, to] = window.split("-").map(minutes);
  return [from!, (to! - from! + 1_440) % 1_440];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const CHECKS: Readonly<Record<string, (text: string) => boolean>> = {
  arn: (text) => /^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12}|aws)?:.+$/.test(text),
  "kms-key-id": (text) => /^(arn:aws[a-z-]*:kms:|alias\/|mrk-)/.test(text) || /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text),
  ip: (text) => isIP(text) !== 0,
  ipv4: (text) => isIP(text) === 4,
  ipv6: (text) => isIP(text) === 6,
  "ipv4-cidr": (text) => blockOf(text) !== undefined,
  "ipv6-cidr": (text) => isIP(text.split("/")[0] ?? "") === 6 && /\/\d{1,3}$/.test(text),
  json: isJson,
  base64: (text) => Buffer.from(text, "base64").toString("base64").replace(/=+$/, "") === text.replace(/=+$/, ""),
  rfc3339: (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text) && !Number.isNaN(Date.parse(text)),
  "once-a-day-window": (text) => text === "" || daily(text)[1] >= 30,
  "once-a-week-window": (text) => text === "" || weekly(text)[1] >= 30,
};

/** What is wrong with a text that has to be of a format; undefined for what is right, and for formats that are not held. */
export function formatProblem(format: string, text: string): string | undefined {
  const holds = CHECKS[format];
  return text === "" || holds === undefined || holds(text) ? undefined : `got ${JSON.stringify(text)}, want ${format}`;
}
