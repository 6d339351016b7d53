/** Folders of migrations for tests, and databases that have the platform's. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { applyMigrations, type MigrateOptions, type MigrateResult } from "../../agent/migrate/index.ts";
import { type Ms, ms } from "../../plan/types.ts";
import { startPostgres, type TestDatabase, type TestServer } from "./postgres.ts";

/** Writes files (path inside the folder → content) into a new folder. */
export async function folderOf(files: Record<string, string | Buffer>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pgladder-sql-"));
  await addFiles(folder, files);
  return folder;
}

export async function addFiles(folder: string, files: Record<string, string | Buffer>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

export const removeFolder = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true });

type Extra = Partial<Omit<MigrateOptions, "folder" | "log">>;

export interface Outcome {
  result: MigrateResult | undefined;
  /** Message of the error it ended with. */
  error: string | undefined;
  log: string[];
}

/** Applies a folder as the application's; paths in messages are shortened to `sql/`. */
export async function migrate(database: TestDatabase, folder: string, extra: Extra = {}): Promise<Outcome> {
  const log: string[] = [];
  const short = (text: string) => text.replaceAll(folder, "sql");
  const options = { connect: () => database.connect(), set: "app", role: "app", lockTimeout: ms(2000) as Ms, ...extra } as const;
  try {
    const result = await applyMigrations({ ...options, folder, log: (line) => log.push(short(line)) });
    return { result, error: undefined, log };
  } catch (error) {
    return { result: undefined, error: short(error instanceof Error ? error.message : String(error)), log };
  }
}

/** Applies sql/platform. */
export async function applyPlatform(database: TestDatabase): Promise<MigrateResult> {
  const log = () => undefined;
  return applyMigrations({ connect: () => database.connect(), folder: "sql/platform", set: "platform", lockTimeout: ms(2000), log });
}

/** A template database with the platform's migrations; returns its name. */
export async function platformTemplate(server: TestServer): Promise<string> {
  const database = await server.createDatabase({ name: "ladder_template" });
  await applyPlatform(database);
  return database.name;
}

/** Tables of the application, and what the ledger says of its files: what must not change when a run fails. */
export async function stateOf(client: Client): Promise<{ tables: string[]; ledger: string[] }> {
  const tables = await client.query<{ name: string }>(
    "select oid::regclass::text as name from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace order by 1",
  );
  const ledger = await client.query<{ line: string }>(
    "select concat_ws(' ', file, state) as line from ladder.migration where set = 'app' order by file",
  );
  return { tables: tables.rows.map((r) => r.name), ledger: ledger.rows.map((r) => r.line) };
}

/** What the tests of a file share: a server, and for each test a database with the platform's migrations. */
export interface Bench {
  server: TestServer;
  db: TestDatabase;
  /** A folder that is removed after the tests. */
  folder: (files: Record<string, string | Buffer>) => Promise<string>;
  state: () => ReturnType<typeof stateOf>;
  query: <Row extends object>(sql: string) => Promise<Row[]>;
}

/** Registers the hooks that give each test of the file a database of its own. `prepare` fills the template once. */
export function bench(prepare?: (database: TestDatabase) => Promise<unknown>): Bench {
  const folders: string[] = [];
  let template: string;
  const withClient = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    const client = await here.db.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  };
  const here = {
    folder: async (files) => {
      const path = await folderOf(files);
      folders.push(path);
      return path;
    },
    state: () => withClient(stateOf),
    query: <Row extends object>(sql: string) => withClient(async (client) => (await client.query<Row>(sql)).rows),
  } as Bench;
  beforeAll(async () => {
    here.server = await startPostgres();
    template = await platformTemplate(here.server);
    if (prepare) await prepare({ name: template, connect: (user = "ladder_admin") => here.server.connect({ user, database: template }) });
  });
  afterAll(async () => {
    await Promise.all(folders.map(removeFolder));
    await here.server?.stop();
  });
  beforeEach(async () => {
    here.db = await here.server.createDatabase({ template });
  });
  return here;
}
