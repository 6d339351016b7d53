/** Statements with a password in them. */
import type pg from "pg";

/** Without these, the text of a statement is in the log, in the audit log, in pg_stat_statements, and while it runs in pg_stat_activity. */
const SILENCE: Readonly<Record<string, string>> = {
  "pgaudit.log": "none",
  "pg_stat_statements.track_utility": "off",
  log_statement: "none",
  log_duration: "off",
  log_min_duration_statement: "-1",
  log_min_error_statement: "panic",
  track_activities: "off",
};

/** Runs a statement whose text nobody shall see. What the role may not set stays as it is: a managed server's master user is no superuser. */
export async function unseen(client: pg.Client, statement: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    "select name from pg_settings where name = any ($1) and (context = 'user' or has_parameter_privilege(name, 'set'))",
    [Object.keys(SILENCE)],
  );
  for (const { name } of rows) await client.query("select set_config($1, $2, false)", [name, SILENCE[name]]);
  try {
    await client.query(statement);
  } finally {
    for (const { name } of rows) await client.query(`reset ${name}`).catch(() => undefined);
  }
}
