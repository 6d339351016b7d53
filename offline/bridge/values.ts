/** A property value as the engine sends it: JSON, with markers for what is not known yet and for secrets. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };
export type Props = { [key: string]: Value };

/** The engine's stand-in, in previews, for a value that only an update will produce. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Marks a value as secret for the engine, which then encrypts it in the state. */
export function secret(value: Value): Value {
  return { [SIGNATURE]: SECRET, value };
}

/** Takes the secret marker off, at the top of the value only. */
export function unwrapSecret(value: Value | undefined): Value | undefined {
  return isProps(value) && value[SIGNATURE] === SECRET ? value.value : value;
}

export function isProps(value: Value | undefined): value is Props {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** True when the value or anything inside it is not known yet. */
export function hasUnknown(value: Value | undefined): boolean {
  if (value === UNKNOWN) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  return isProps(value) && Object.values(value).some(hasUnknown);
}

/** True for what Terraform schemas count as "not set": absent, null, "", 0, false, and empty lists and maps. */
export function isZero(value: Value | undefined): boolean {
  if (value === undefined || value === null || value === "" || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isProps(value) && Object.keys(value).every((key) => key === "__defaults");
}

export function textOf(value: Value | undefined): string {
  return typeof value === "string" ? value : "";
}

export function numberOf(value: Value | undefined): number {
  return typeof value === "number" ? value : 0;
}

export function listOf(value: Value | undefined): Value[] {
  return Array.isArray(value) ? value : [];
}

export function textsOf(value: Value | undefined): string[] {
  return listOf(value).map(textOf);
}

export function objectsOf(value: Value | undefined): Props[] {
  return listOf(value).filter(isProps);
}

/** A map of strings; the bridge's own bookkeeping keys are left out. */
export function mapOf(value: Value | undefined): Record<string, string> {
  if (!isProps(value)) return {};
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "__defaults")
      .map(([key, item]) => [key, String(item)]),
  );
}

/** Drops undefined and null entries, so that an observation can be spread over a state. */
export function compact(values: Record<string, Value | undefined>): Props {
  const out: Props = {};
  for (const [key, value] of Object.entries(values)) if (value !== undefined && value !== null) out[key] = value;
  return out;
}
