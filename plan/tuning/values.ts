import { type KiB, kib, type Ms } from "../types.ts";
import type { SettingValue } from "./types.ts";

export const memory = (value: KiB): SettingValue => ({ kind: "memory", kib: value });
export const time = (value: Ms): SettingValue => ({ kind: "time", ms: value });
export const number = (value: number): SettingValue => ({ kind: "number", value });
export const bool = (value: boolean): SettingValue => ({ kind: "bool", value });
export const text = (value: string): SettingValue => ({ kind: "text", value });

export const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** Whole MiB, rounded down, so that a budget that fits still fits afterwards. */
export const wholeMib = (value: number): KiB => kib(Math.floor(value / 1024) * 1024);

const MEMORY_UNITS = [
  ["GB", 1024 * 1024],
  ["MB", 1024],
  ["kB", 1],
] as const;
const TIME_UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
] as const;

/** Memory in the largest unit that is exact, as PostgreSQL reads it: '1GB', '410MB', '100B'. */
export function showMemory(value: number): string {
  if (value === 0) return "0";
  const unit = MEMORY_UNITS.find(([, size]) => value % size === 0);
  return unit ? `${value / unit[1]}${unit[0]}` : `${Math.round(value * 1024)}B`;
}

/** A duration in the largest unit that is exact, as PostgreSQL reads it: '15min', '2ms'. */
export function showTime(value: number): string {
  if (value === 0) return "0";
  const unit = TIME_UNITS.find(([, size]) => value % size === 0);
  return unit ? `${value / unit[1]}${unit[0]}` : `${value}ms`;
}

/** A value as postgresql.conf takes it, without quotes. */
export function showValue(value: SettingValue): string {
  switch (value.kind) {
    case "memory":
      return showMemory(value.kib);
    case "time":
      return showTime(value.ms);
    case "bool":
      return value.value ? "on" : "off";
    case "number":
    case "text":
      return String(value.value);
  }
}

/** Memory for a sentence: rounded to what a reader can add up, '409.6MB' as '410MB'. */
export const roughly = (value: number): string => showMemory(value >= 10 * 1024 ? Math.round(value / 1024) * 1024 : Math.round(value));

/** A count for a sentence: 9999 as '9,999'. */
export const count = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ",");
