import { Command, CommanderError } from "commander";
import { InputError, type Stage } from "../plan/types.ts";
import { readShard, readShare, readStackName, readStage, readUrlKind, type UrlKind } from "./arguments.ts";
import { readCount, VIEWS, views } from "./commands/views.ts";
import { Failure, UsageError } from "./failure.ts";
import { type Report, reporter } from "./report.ts";
import type { TuneArgs } from "./tune.ts";

interface Globals {
  stack: string;
  json?: true;
}

/** Everything after `--` goes to psql as it is. */
const separator = process.argv.indexOf("--");
const forPsql = separator < 0 ? [] : process.argv.slice(separator + 1);
const own = separator < 0 ? process.argv : process.argv.slice(0, separator);

const ladder = new Command("bin/ladder")
  .description("PostgreSQL that grows by one config number: look at a stack and change it")
  .option("--stack <name>", "the stack, configured in Pulumi.<name>.yaml", readStackName, "dev")
  .option("--json", "print the result as one JSON value")
  .showSuggestionAfterError()
  .exitOverride();

const globals = () => ladder.opts<Globals>();
const report = (): Report => reporter(globals().json === true);
const stack = () => globals().stack;

/** For the doctor, also before a climb onto shards. */
const ROUTED = "of the calls that come through the client router or the shards' URLs: your word";
const ROUTED_ROLE = "a role whose statements all come that way; may be given again";
const also = (role: string, roles: string[]): string[] => [...roles, role];

ladder
  .command("up")
  .description("bring the stack to what its configuration says, and wait until it is settled (bin/up)")
  .option("--stage <n>", "go to this stage: written into Pulumi.<stack>.yaml first", readStage)
  .option("--preview", "show what would happen, and end")
  .option("--routed <share>", ROUTED, readShare, 0)
  .option("--routed-role <role>", ROUTED_ROLE, also, [])
  .action(async ({ routed, routedRole, ...options }: { stage?: Stage; preview?: true; routed: number; routedRole: string[] }) => {
    const { up } = await import("./commands/up.ts");
    await up({ stack: stack(), ...options, routed: { routed, routedRole } }, report());
  });

ladder
  .command("down")
  .description("stop and remove the stack; its data stays (bin/down)")
  .option("--delete-data", "delete the data too")
  .option("--yes", "ask nothing")
  .action(async (options: { deleteData?: true; yes?: true }) => {
    const { down } = await import("./commands/down.ts");
    await down({ stack: stack(), ...options }, report());
  });

ladder
  .command("url")
  .description("print a URL and nothing else")
  .argument("<which>", "write, read, session, cache or shard")
  .argument("[shard]", "of shard: its number from 0")
  .option("--read", "of shard: the one that its replicas answer")
  .action(async (which: string, number: string | undefined, { read = false }: { read?: boolean }) => {
    const { shardUrl, url } = await import("./commands/urls.ts");
    if (which === "shard") return shardUrl({ stack: stack(), shard: readShard(number), read }, report());
    await url({ stack: stack(), kind: readUrlKind(which) }, report());
  });

ladder
  .command("psql")
  .description("open psql; what follows -- goes to psql")
  .argument("[which]", "write, read or session", (text) => readUrlKind(text, ["write", "read", "session"]), "write" as const)
  .action(async (which: UrlKind) => {
    const { psql } = await import("./commands/urls.ts");
    process.exitCode = await psql({ stack: stack(), kind: which, args: forPsql });
  });

ladder
  .command("status")
  .description("the stage, what is under way, what is held")
  .action(async () => {
    const { status } = await import("./commands/status.ts");
    await status({ stack: stack() }, report());
  });

ladder
  .command("plan")
  .description("what the next up would make, change, replace and restart; changes nothing")
  .option("--stage <n>", "as if this stage were configured", readStage)
  .action(async (options: { stage?: Stage }) => {
    const { plan } = await import("./commands/plan.ts");
    await plan({ stack: stack(), ...options }, report());
  });

ladder
  .command("climb")
  .description("go to a stage: the same as bin/up --stage")
  .argument("<stage>", "1 to 5", readStage)
  .action(async (stage: Stage) => {
    const { up } = await import("./commands/up.ts");
    await up({ stack: stack(), stage }, report());
  });

ladder
  .command("finish")
  .description("let go of what an earlier climb left behind: its parts are deleted")
  .action(async () => {
    const { finish } = await import("./commands/finish.ts");
    await finish({ stack: stack() }, report());
  });

ladder
  .command("doctor")
  .description("what stands in the way of sharding: tables, servers, statements; exit code 1 where something blocks")
  .option("--stage <n>", "4: the climb is next, so what the gateway carries is measured as well", readStage)
  .option("--measure", "measure what the gateway carries: about two seconds of load")
  .option("--seconds <n>", "between two looks at the statements' counters", readCount, 5)
  .option("--routed <share>", ROUTED, readShare, 0)
  .option("--routed-role <role>", ROUTED_ROLE, also, [])
  .action(async (options: { stage?: Stage; measure?: true; seconds: number; routed: number; routedRole: string[] }) => {
    const { doctor } = await import("./commands/doctor.ts");
    process.exitCode = await doctor({ stack: stack(), ...options }, report());
  });

ladder
  .command("tune")
  .description("PostgreSQL's parameters for a machine, each with its reason")
  .requiredOption("--cores <n>", "cores of the machine")
  .requiredOption("--memory <size>", "with its unit: 32GB")
  .option("--storage <size>", "of the data volume", "100GB")
  .option("--disk <kind>", "hdd, ssd or nvme", "ssd")
  .option("--connections <n>", "server connections that the poolers may open", "100")
  .option("--workload <kind>", "web, oltp, mixed or analytics", "oltp")
  .option("--replicas <n>", "streaming replicas", "0")
  .option("--format <format>", "table, conf, rds or json", "table")
  .action(async (options: TuneArgs) => {
    const { tuneCommand } = await import("./tune.ts");
    process.stdout.write(`${tuneCommand(globals().json ? { ...options, format: "json" } : options)}\n`);
  });

ladder
  .command("views")
  .description("what can be looked at, one command each")
  .action(() => views(report()));

for (const [name, { what }] of Object.entries(VIEWS))
  ladder
    .command(name)
    .description(what)
    .option("--node <name>", "primary, all, or one node")
    .option("--limit <n>", "rows at most", readCount, 50)
    .option("--watch <seconds>", "look again and again", readCount)
    .action(async (options: { node?: string; limit: number; watch?: number }) => {
      const { view } = await import("./commands/view.ts");
      await view({ stack: stack(), name, ...options }, report());
    });

const MAINTENANCE = [
  ["vacuum", "<table>", "vacuum and analyze a table, and say what was done"],
  ["reorder", "<table>", "write a table anew in the order of its CLUSTER ON index or primary key, in the background, without locking it"],
  ["run", "<job>", "run one of the jobs that `ladder jobs` shows, now"],
] as const;
for (const [what, argument, description] of MAINTENANCE)
  ladder
    .command(what)
    .description(description)
    .argument(argument)
    .action(async (object: string) => {
      const { maintain } = await import("./commands/view.ts");
      await maintain({ stack: stack(), what, object }, report());
    });

const commandNames = (): string[] => ladder.commands.map((command) => command.name());

/** Exit codes: 0 done, 1 failed, 2 the command line makes no sense. */
function exitCodeOf(error: unknown): number {
  // Commander has said its message already.
  if (error instanceof CommanderError) {
    if (error.code === "commander.unknownCommand") process.stderr.write(`want one of ${commandNames().join(", ")}\n`);
    return error.exitCode === 0 ? 0 : 2;
  }
  const expected = error instanceof Failure || error instanceof UsageError || error instanceof InputError;
  const text = expected ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`error: ${text}\n`);
  if (globals().json) process.stdout.write(`${JSON.stringify({ error: text })}\n`);
  return error instanceof UsageError ? 2 : 1;
}

try {
  if (forPsql.length > 0 && !own.includes("psql")) throw new UsageError(`--: only psql takes further arguments`);
  await ladder.parseAsync(own);
  process.exit();
} catch (error) {
  process.exit(exitCodeOf(error));
}
