import { tune } from "./index.ts";
import { stockValue } from "./parameters.ts";
import { pgtune } from "./pgtune.ts";
import { rdsDefaults } from "./rds-defaults.ts";
import type { Setting, SettingValue, TuningInput } from "./types.ts";
import { showValue } from "./values.ts";

/** One parameter beside what others choose; undefined where they say nothing. Values as postgresql.conf shows them. */
export interface Comparison {
  name: string;
  value: string;
  pgtune: string | undefined;
  rds: string | undefined;
  /** PostgreSQL's own default. */
  stock: string | undefined;
  reason: string;
  restart: boolean;
  source: Setting["source"];
}

const shown = (value: SettingValue | undefined): string | undefined => (value === undefined ? undefined : showValue(value));

/**
 * The settings of one node beside PGTune's, RDS' and PostgreSQL's own.
 * @throws InputError as tune does
 */
export function compare(input: TuningInput): readonly Comparison[] {
  const others = { pgtune: pgtune(input), rds: rdsDefaults(input.machine) };
  return tune(input).map(({ name, value, reason, restart, source }) => ({
    name,
    value: showValue(value),
    pgtune: shown(others.pgtune[name]),
    rds: shown(others.rds[name]),
    stock: shown(stockValue(name)),
    reason,
    restart,
    source,
  }));
}
