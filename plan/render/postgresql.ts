import type { Setting, Settings } from "../tuning/types.ts";
import { showValue } from "../tuning/values.ts";

/**
 * The settings as Patroni's dynamic configuration takes them (`postgresql.parameters`), canonical units: '1GB', '15min', 'on'.
 */
export function renderPostgresql(settings: Settings): Record<string, string> {
  return Object.fromEntries(settings.map(({ name, value }) => [name, showValue(value)]));
}

/** A value as a line of postgresql.conf quotes it: quotes and backslashes are doubled. */
const quoted = (value: string): string => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;

const line = ({ name, value }: Setting): string =>
  `${name} = ${value.kind === "text" || value.kind === "memory" || value.kind === "time" ? quoted(showValue(value)) : showValue(value)}`;

/** The settings as the text of a postgresql.conf, each under the reason for it. */
export function renderConf(settings: Settings): string {
  return settings.map((setting) => `# ${setting.reason}\n${line(setting)}\n`).join("\n");
}
