/** What the agent's functions are made of: one bundle, the platform's SQL, and where it is needed the application's SQL and its linter. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { threadId } from "node:worker_threads";
import * as pulumi from "@pulumi/pulumi";
import { buildSync } from "esbuild";

const ROOT = join(import.meta.dirname, "../..");
/** The runtime of the functions; the bundle is made for it, and test/postgres/lambda.test.ts runs it in that version. */
export const RUNTIME = "nodejs24.x";
/** The linter for the functions' architecture, where npm has put it on the machine that runs `up`: on another one, migrations go unlinted. */
const LINTER = join(ROOT, "node_modules/@squawk-cli/linux-x64/bin/squawk");
/** PostgreSQL's parser looks for its WebAssembly beside the bundle. */
const PARSER = join(ROOT, "node_modules/libpg-query/wasm/libpg-query.wasm");
const PLATFORM = join(ROOT, "sql/platform");

/** Files of a package by path: on this machine, or their text. */
export type Contents = Readonly<Record<string, { file: string } | { text: string }>>;

export interface Packages {
  /** What every command is made of. */
  readonly common: Contents;
  /** `migrate` and `move` have the application's SQL beside it: shards get its definitions. */
  readonly application: Contents;
}

/** The packages of a stack. @param schema the application's SQL by path */
export function packagesOf(schema: Readonly<Record<string, string>>): Packages {
  const common: Contents = {
    "agent.mjs": { text: once("bundle", bundle) },
    "libpg-query.wasm": { file: PARSER },
    ...Object.fromEntries(
      readdirSync(PLATFORM)
        .filter((name) => name.endsWith(".sql"))
        .sort()
        .map((name) => [`sql/platform/${name}`, { text: withoutSuperuser(readFileSync(join(PLATFORM, name), "utf8")) }]),
    ),
  };
  return {
    common,
    application: {
      ...common,
      ...Object.fromEntries(Object.entries(schema).map(([path, text]) => [`schema/${path}`, { text }])),
      ...(existsSync(LINTER) ? { "bin/squawk": { file: LINTER } } : {}),
    },
  };
}

const known = new Map<string, string>();
/** A program may make several stacks, and none of this depends on them. */
function once(key: string, make: () => string): string {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}

const bundle = (): string =>
  buildSync({
    // The bundle names its sources by where they are from here, and shall be the same wherever `up` runs.
    absWorkingDir: ROOT,
    entryPoints: ["agent/lambda.ts"],
    bundle: true,
    write: false,
    platform: "node",
    target: "node24",
    format: "esm",
    external: ["pg-native"],
    // CommonJS packages inside the bundle ask for these.
    banner: {
      js: [
        'import { createRequire as requireFrom } from "node:module";',
        "const require = requireFrom(import.meta.url);",
        "const __dirname = import.meta.dirname;",
        "const __filename = import.meta.filename;",
      ].join(" "),
    },
    logLevel: "error",
  }).outputFiles[0]!.text;

/**
 * The platform's SQL as a managed server's administrator can run it: only a superuser may say of a role that it is none, and only who
 * replicates that it does not. Roles are made without either anyway.
 */
export const withoutSuperuser = (sql: string): string =>
  sql.replaceAll(/\bnosuperuser nocreaterole nocreatedb noreplication\b/g, "nocreaterole nocreatedb");

const digest = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");

/** Changes with any file. */
export const hashOf = (contents: Contents): string =>
  digest(
    JSON.stringify(
      Object.entries(contents).map(([path, content]) => [
        path,
        "text" in content ? digest(content.text) : once(content.file, () => digest(readFileSync(content.file))),
      ]),
    ),
  );

/** The package as Pulumi sends it: by files of this machine, because the text of others would be in the state, in full and more than once. */
export function archiveOf(contents: Contents): pulumi.asset.AssetArchive {
  const texts = Object.entries(contents).flatMap(([path, content]) => ("text" in content ? [[path, content.text] as const] : []));
  const folder = written(texts);
  const parts = texts.map(([path]) => {
    const [top = "", ...below] = path.split("/");
    const place = join(folder, top);
    return [top, below.length > 0 ? new pulumi.asset.FileArchive(place) : new pulumi.asset.FileAsset(place)] as const;
  });
  const files = Object.entries(contents).flatMap(([path, content]) =>
    "file" in content ? [[path, new pulumi.asset.FileAsset(content.file)] as const] : [],
  );
  return new pulumi.asset.AssetArchive(Object.fromEntries([...parts, ...files]));
}

/** A folder with these files, named by what is in it: whoever finds it there has the same ones. */
function written(texts: readonly (readonly [path: string, text: string])[]): string {
  const folder = join(ROOT, "dist/lambda", digest(JSON.stringify(texts)).slice(0, 16));
  if (existsSync(folder)) return folder;
  const own = `${folder}.${process.pid}.${threadId}`;
  for (const [path, text] of texts) {
    mkdirSync(dirname(join(own, path)), { recursive: true });
    writeFileSync(join(own, path), text);
  }
  try {
    renameSync(own, folder);
  } catch (error) {
    // Another run was first.
    rmSync(own, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
