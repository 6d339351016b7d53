/** The program of a pooler host in front of RDS: keeps HAProxies and several PgBouncer processes, watches the servers, lets clients go. */
import { setTimeout as sleep } from "node:timers/promises";
import { HEALTH_PORT } from "../../plan/render/haproxy-rds.ts";
import { reload } from "../logins.ts";
import { hostFiles, type Inputs, putFiles, readInputs } from "./files.ts";
import { Fronts } from "./fronts.ts";
import { serveHealth } from "./health.ts";
import { Nodes } from "./nodes.ts";
import { type Kept, onConsole, startPgbouncer, withConsole } from "./processes.ts";

const INPUT = "/run/pgladder";
const EVERY = 1_000;
/** How long the load balancer takes to see that no clients shall come any more, in ms: three checks of 5 s, and one for the way. */
const NOTICE = Number(process.env.PGLADDER_NOTICE ?? "20") * 1_000;
/** How long clients may stay after that, in ms. */
const DRAIN = Number(process.env.PGLADDER_DRAIN ?? "300") * 1_000;
/** A process may take so long to read its file, in ms. */
const RELOADING = 5_000;
const MONITOR = "ladder_monitor";

const log = (line: string) => console.log(line);

let inputs: Inputs = readInputs(INPUT);
putFiles(hostFiles(inputs));
const { processes, port } = inputs.settings;

const fronts = new Fronts(log);
fronts.start(inputs.settings, []);
const poolers: Kept[] = Array.from({ length: processes }, (_, index) => startPgbouncer(index, log));
let serving = false;
let leaving = false;

const tell = () => fronts.tell(nodes);
const login = () => ({
  user: MONITOR,
  password: inputs.passwords[MONITOR] ?? "",
  database: inputs.settings.database,
  ca: inputs.authorities,
});
const nodes: Nodes = new Nodes(login, tell);
nodes.follow(inputs.settings.nodes);
const health = serveHealth({ nodes, serving: () => serving && !leaving }, HEALTH_PORT);

/** Takes up new settings and passwords while clients stay connected. */
async function takeUp(): Promise<void> {
  const next = readInputs(INPUT);
  if (JSON.stringify(next) === JSON.stringify(inputs)) return;
  inputs = { ...next, settings: { ...next.settings, processes, port } };
  const changed = putFiles(hostFiles(inputs));
  fronts.start(inputs.settings, changed);
  nodes.follow(inputs.settings.nodes);
  if (changed.length > 0) for (let index = 0; index < processes; index++) await withConsole(index, port, reload, RELOADING);
  await fronts.prune(inputs.settings);
  log(`taken up: ${changed.join(", ") || "the servers"}`);
}

async function look(): Promise<void> {
  await takeUp().catch((error: Error) => log(`settings stay as they are: ${error.message}`));
  const asked = Array.from({ length: processes }, (_, index) => onConsole(index, port, "SHOW VERSION"));
  const answers = await Promise.allSettled([...asked, bringReadsBack()]);
  const before = serving;
  serving = answers.every(({ status }) => status === "fulfilled");
  if (before !== serving) log(serving ? "serving" : "not serving");
  tell();
}

async function bringReadsBack(): Promise<void> {
  for (const name of await fronts.readsBack()) {
    log(`reads of ${name} go to replicas`);
    for (const { cluster, database, to } of inputs.settings.pools)
      if (cluster === name && to === "replicas") await each(`RECONNECT ${database}`);
  }
}

/** Lets the load balancer see it, then no new clients, then waits for those that are there; transactions end in any case. */
async function leave(): Promise<void> {
  if (leaving) return;
  leaving = true;
  log(`leaving: no new clients in ${NOTICE / 1_000} s, none at all in ${(NOTICE + DRAIN) / 1_000} s`);
  await sleep(NOTICE);
  const gone = Promise.all(poolers.map((pooler) => pooler.gone));
  await each("SHUTDOWN WAIT_FOR_CLIENTS");
  await Promise.race([gone, sleep(DRAIN)]);
  await each("SHUTDOWN WAIT_FOR_SERVERS");
  await Promise.race([gone, sleep(10_000)]);
  for (const pooler of poolers) pooler.signal("SIGQUIT");
  await fronts.leave();
  health.close();
  log("left");
  process.exit(0);
}

const each = (command: string) =>
  Promise.all(Array.from({ length: processes }, (_, index) => onConsole(index, port, command).catch(() => undefined)));

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void leave());
while (!leaving) {
  await look();
  await sleep(EVERY);
}
