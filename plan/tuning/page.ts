import { gib, ms } from "../types.ts";
import { type Comparison, compare } from "./compare.ts";
import { TOPICS } from "./index.ts";
import type { Platform, TuningInput } from "./types.ts";

interface Example {
  title: string;
  platform: Platform;
  cores: number;
  /** GiB. */
  memory: number;
  storage: number;
  connections: number;
  replicas: number;
}

/** The five stages' machines, self-managed and the AWS classes. */
export const EXAMPLES: readonly Example[] = [
  { title: "Stage 1", platform: "patroni", cores: 2, memory: 4, storage: 50, connections: 50, replicas: 0 },
  { title: "Stage 2", platform: "patroni", cores: 4, memory: 8, storage: 200, connections: 140, replicas: 1 },
  { title: "Stage 1 on AWS, db.t4g.medium", platform: "rds", cores: 2, memory: 4, storage: 50, connections: 50, replicas: 0 },
  { title: "Stage 2 on AWS, db.m7g.xlarge", platform: "rds", cores: 4, memory: 16, storage: 200, connections: 140, replicas: 1 },
  { title: "Stage 3, db.r7g.2xlarge", platform: "rds", cores: 8, memory: 64, storage: 2_000, connections: 170, replicas: 2 },
  {
    title: "Stage 4, a shard, db.r7g.4xlarge (stage 5: the same size on EC2)",
    platform: "rds",
    cores: 16,
    memory: 128,
    storage: 4_000,
    connections: 220,
    replicas: 1,
  },
];

/** The input of an example: OLTP on SSD; all machines with stage 1's threshold, so that only the machine makes a difference. */
export function exampleInput({ platform, cores, memory, storage, connections, replicas }: Example): TuningInput {
  return {
    machine: { cores, memory: gib(memory), storage, disk: "ssd" },
    workload: "oltp",
    serverConnections: connections,
    replicas,
    logMinDuration: ms(1_000),
    citus: false,
    platform,
    overrides: {},
  };
}

const INTRO = `# Tuning

\`ladder tune\` prints every PostgreSQL parameter that pgladder sets on a node, with the reason, beside PGTune's value, RDS' default and
PostgreSQL's own. This page is its output for the machines of the five stages (workload \`oltp\`, SSD) and is made by the same code: a test
compares it. Regenerate: \`npm test -- test/unit/tuning-compare.test.ts -u\`.

    bin/ladder tune --cores 8 --memory 32GB --storage 500GB --connections 100 --workload mixed

How it decides:

- **Server connections count, not clients.** The memory budget holds what the poolers may open, the reserved connections, parallel
  and autovacuum workers, one index build and a tenth for the system. What cannot fit is refused with the arithmetic; nothing is floored silently.
- **Layers**: computed, then the config key \`settings\`, checked against PostgreSQL 17's own table of names, units and ranges. What other parts
  rely on (WAL level, TLS, durability, preloaded libraries …) is fixed: overriding it is an error that says what to do instead.
- **Static parameters are sized for the whole ladder**, so that no climb restarts a server for them.
- \`statement_timeout\` and \`lock_timeout\` are set on the roles \`app\` and \`app_ro\`, not on the server; overrides of them go there too. A migration
  that needs longer says \`SET LOCAL statement_timeout = 0\`.
- PGTune is given the same connections, PostgreSQL 17 on Linux. RDS' values are formulas of its guide; AWS itself was not asked. "–": says nothing,
  which leaves PostgreSQL's own default.
`;

const cell = (value: string | undefined): string => (value === undefined || value === "" ? "–" : value.replaceAll("|", "\\|").trim());

/** A table as the project's formatter lays it out: cells as wide as the widest of their column. */
function table(head: readonly string[], rows: readonly (readonly (string | undefined)[])[]): string {
  const cells = [head, ...rows].map((row) => row.map(cell));
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((text, column) => text.padEnd(widths[column]!)).join(" | ")} |`;
  const [first, ...rest] = cells.map(line);
  return [first, line(widths.map((width) => "-".repeat(width))), ...rest].join("\n");
}

const sameEverywhere = (name: string, all: readonly (readonly Comparison[])[]): boolean => {
  const lines = all.flatMap((rows) => rows.filter((row) => row.name === name));
  return lines.every((row) => row.value === lines[0]?.value && row.pgtune === lines[0].pgtune && row.rds === lines[0].rds);
};

const toRow = ({ name, value, pgtune, rds, stock, reason, restart }: Comparison) => [
  `\`${name}\`${restart ? " ⟳" : ""}`,
  value,
  pgtune,
  rds,
  stock,
  reason,
];

const HEAD = ["parameter", "pgladder", "PGTune", "RDS", "PostgreSQL", "why"];

/** The text of docs/tuning.md. */
export function tuningPage(): string {
  const all = EXAMPLES.map((example) => compare(exampleInput(example)));
  const machines = EXAMPLES.map(({ title, cores, memory, storage, connections, replicas }, index) => {
    const rows = all[index]!.filter(({ name }) => !sameEverywhere(name, all)).map(toRow);
    const what = `${cores} cores, ${memory}GB memory, ${storage}GB SSD, ${connections} server connections, replicas: ${replicas}.`;
    return `## ${title}\n\n${what}\n\n${table(HEAD, rows)}\n`;
  });
  const common = Object.entries(TOPICS).flatMap(([topic, selectors]) => {
    const rows = Object.keys(selectors).filter((name) => sameEverywhere(name, all));
    const found = rows.map((name) => all[0]!.find((row) => row.name === name)!);
    return found.length === 0 ? [] : [`### ${topic}\n\n${table(HEAD, found.map(toRow))}\n`];
  });
  return [
    INTRO,
    ...machines,
    "## The same on all of them\n\n⟳ is read at server start only. On RDS the service itself decides what a parameter group does not offer.\n",
    ...common,
  ].join("\n");
}
