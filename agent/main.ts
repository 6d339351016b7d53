import { readFileSync } from "node:fs";
import { cacheKeeper } from "./cache/keeper.ts";
import { configure } from "./configure.ts";
import { connectPrimary, exclusively, readContext, withClient } from "./connections.ts";
import { doctor } from "./doctor/command.ts";
import { type FileSet, writeFiles } from "./files.ts";
import { maintain } from "./maintenance/settle.ts";
import { readView } from "./maintenance/view.ts";
import { readStatus, runMover } from "./move/run.ts";
import { migrateStack } from "./shards/migrate.ts";
import { vacate } from "./vacate.ts";

const FILES = "/etc/pgladder";
const STATUS = "/run/ladder/status.json";
const PLATFORM = "/agent/sql/platform";
const APPLICATION = "/input/schema";
/** Names statements that would hold a lock for long. */
const LINTER = "/agent/bin/squawk";

const log = (line: string) => console.log(line);

const COMMANDS: Record<string, () => Promise<void>> = {
  /** Fills the volumes of all containers. */
  files: () => writeFiles("/volumes", JSON.parse(readFileSync("/input/files.json", "utf8")) as FileSet, log),
  /** Settings, database, platform schema, passwords, pooler. */
  configure: () => configure(readContext(FILES, log), PLATFORM),
  /** The application's own SQL. */
  migrate: async () => {
    const context = readContext(FILES, log);
    await exclusively(context, () => migrateStack(context, { folder: APPLICATION, linter: LINTER }));
  },
  /** Walks the cluster towards what is desired, for ever. */
  move: async () => {
    const stop = new AbortController();
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
    await Promise.all([runMover(FILES, STATUS, stop.signal, log), cacheKeeper.run(FILES, stop.signal, log)]);
  },
  /** Prepares a node's replacement. */
  vacate: () => vacate(readContext(FILES, log), process.argv[3] ?? ""),
  /** A view of schema ladder as JSON: name, primary | all | node, number of rows. */
  view: async () => {
    const [view = "", where = "primary", limit = "50"] = process.argv.slice(3);
    console.log(JSON.stringify(await readView(readContext(FILES, log), view, where, Number(limit))));
  },
  /** Maintenance by hand: vacuum, reorder or run, and of what; finish ends the way back of conversions. */
  maintain: async () => {
    const [what = "", object = ""] = process.argv.slice(3);
    const context = readContext(FILES, log);
    const said = await withClient(connectPrimary(context, context.desired.database), (client) => maintain(client, what, object));
    console.log(JSON.stringify(said));
  },
  /** What stands in the way of sharding, as JSON; what the operator asks is JSON too. */
  doctor: async () => {
    console.log(JSON.stringify(await doctor(readContext(FILES, log), JSON.parse(process.argv[3] ?? "{}"))));
  },
  status: async () => console.log(JSON.stringify(readStatus(FILES, STATUS))),
};

const name = process.argv[2] ?? "";
const command = COMMANDS[name];
if (!command) {
  console.error(`agent: got ${JSON.stringify(name)}, want one of ${Object.keys(COMMANDS).join(", ")}`);
  process.exit(2);
}
try {
  await command();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
