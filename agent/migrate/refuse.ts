/** What pending files of a fleet are refused for, before anything is changed. */
import type pg from "pg";
import type { Problem } from "../../plan/types.ts";
import { shardedOf } from "./gateway.ts";
import { isOpaque, isRowWork, onGateway } from "./place.ts";
import type { Script, Statement } from "./script.ts";
import { relationsOf } from "./statements.ts";

export interface RefusalOptions {
  gateway: pg.Client;
  shard: pg.Client | undefined;
  pending: readonly Script[];
  sharded: readonly string[];
  globals: readonly string[];
  moveUnderWay: (gateway: pg.Client) => Promise<string | undefined>;
  /** Filled with the files that define global tables, and tables on shards. */
  globalFiles: Set<string>;
  shardedFiles: Set<string>;
}

/** Tables (schema.name) that a statement names, those of indexes too. */
async function tablesOf(shard: pg.Client | undefined, { node }: Statement): Promise<string[]> {
  const names = relationsOf(node).map(({ schema, name }) => [schema ?? "public", name]);
  if (names.length === 0) return [];
  const plain = names.map(([schema, name]) => `${schema}.${name}`);
  if (!shard) return plain;
  const { rows } = await shard.query<{ name: string }>(
    `select t.nspname || '.' || c.relname as name from json_array_elements($1::json) n
       join pg_index i on i.indexrelid = to_regclass(format('%I.%I', n ->> 0, n ->> 1)) join pg_class c on c.oid = i.indrelid join pg_namespace t on t.oid = c.relnamespace`,
    [JSON.stringify(names)],
  );
  return [...plain, ...rows.map(({ name }) => name)];
}

/** Columns that go or change under a replication that still sends them. */
function losesColumns({ node }: Statement): boolean {
  if ("RenameStmt" in node) return node.RenameStmt.renameType === "OBJECT_COLUMN";
  if (!("AlterTableStmt" in node)) return false;
  return (node.AlterTableStmt.cmds ?? []).some(
    (cmd) => "AlterTableCmd" in cmd && ["AT_DropColumn", "AT_AlterColumnType"].includes(cmd.AlterTableCmd.subtype ?? ""),
  );
}

/** All problems of the pending files at once. */
export async function refusals(options: RefusalOptions): Promise<Problem[]> {
  const { gateway, shard, pending, globals, globalFiles, shardedFiles } = options;
  const problems: Problem[] = [];
  const trees = await shardedOf(gateway, options.sharded);
  const declared = new Set(options.sharded);
  const moving = pending.length === 0 ? undefined : await options.moveUnderWay(gateway);
  for (const { file, statements, outside } of pending) {
    const mixed = outside !== undefined || statements.some(({ node }) => isRowWork(node) || isOpaque(node));
    for (const statement of statements) {
      const path = `${file.path}:${statement.line}`;
      const placed = onGateway(statement.node, trees);
      if (typeof placed === "object" && "message" in placed) problems.push({ path, got: placed.message, want: placed.want });
      if (isRowWork(statement.node)) continue;
      const tables = await tablesOf(shard, statement);
      const touched = tables.find((table) => declared.has(table));
      if (touched !== undefined) shardedFiles.add(file.name);
      if (moving !== undefined && (touched !== undefined || "DoStmt" in statement.node))
        problems.push({
          path,
          got: `${touched === undefined ? "a DO block, which may change tables" : `a change of ${touched}, whose rows are on shards,`} while ${moving}`,
          want: "the move ended first: ladder finish, or the stage as it was",
        });
      const global = tables.find((table) => globals.includes(table));
      if (global === undefined) continue;
      globalFiles.add(file.name);
      if (mixed && losesColumns(statement))
        problems.push({
          path,
          got: `a column of the global table ${global} changed in a file that changes rows, or runs without a transaction`,
          want: "the column's change in a file of its own",
        });
    }
  }
  return problems;
}
