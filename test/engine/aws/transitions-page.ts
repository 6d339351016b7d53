/** docs/aws-transitions.md, from the ways that were walked. */
import { announceAws } from "../../../cli/announce-aws.ts";
import type { Step } from "./cloud.ts";
import type { Way } from "./transitions.ts";

const OPS = { create: "created", update: "changed in place", replace: "replaced", delete: "deleted" } as const;
type Op = keyof typeof OPS;
const KINDS = Object.keys(OPS) as Op[];

const HEAD = `# Transitions on AWS
<!-- written by npm run aws-transitions; a test fails when it is not what the program does -->
What \`pulumi up\` does on AWS on every way between stages 1 to 4 (stage 4 with two shards unless it says otherwise), and for the changes of configuration that people make most. The real
Pulumi engine ran the real program; AWS was a stand-in that holds the provider's own rules ([tests](tests.md)). **Nothing of this has
run on AWS.** Stalls are AWS' own figures, never measured here.

Read it so: what is *changed in place* keeps its data and its address. No way replaces or deletes a database, a cache, a key, a secret or a
backup vault: what a smaller configuration no longer wants is held until \`release\` lets it go: a region that was removed and
shards that are no longer wanted go in two explicit steps ([AWS](aws.md)). Of what is *deleted*, keys stay at AWS and older versions of secrets until AWS clears them away: only the stack
lets go of them.
`;

const count = (steps: readonly Step[], op: Op) => steps.filter((step) => step.op === op).length;

function row({ from, to, steps, refused }: Way): string {
  const { restarts, stall } = announceAws(steps);
  const cells =
    refused.length > 0 ? ["refused", "", "", "", "", ""] : [...KINDS.map((op) => count(steps, op) || ""), restarts.length || "", stall];
  return `| ${[from, to, ...cells].join(" | ")} |`;
}

/** `rds.Instance` of `aws:rds/instance:Instance`; other providers' types with their name. */
function kindOf(type: string): string {
  const [provider = "", module = "", kind = ""] = type.split(":");
  return provider === "aws" ? `${module.split("/")[0]}.${kind}` : `${provider}.${kind}`;
}

function listed(steps: readonly Step[], op: Op): string[] {
  const byKind = Map.groupBy(
    steps.filter((step) => step.op === op),
    ({ type }) => kindOf(type),
  );
  const named = ({ name, differs }: Step) => (differs.length > 0 && op !== "create" ? `${name} (${[...differs].sort().join(", ")})` : name);
  return [...byKind.keys()].sort().map((kind) => `  - ${kind}: ${byKind.get(kind)!.map(named).sort().join(", ")}`);
}

function details({ from, to, steps, refused }: Way): string {
  const { restarts } = announceAws(steps);
  const lines = [
    ...refused.map((line) => `- refused: ${line}`),
    ...restarts.map((line) => `- ${line}`).sort(),
    ...KINDS.flatMap((op) => {
      const own = listed(steps, op);
      return own.length > 0 ? [`- ${OPS[op]}:`, ...own] : [];
    }),
  ];
  return [`### ${from} → ${to}`, ...(lines.length > 0 ? lines : ["- nothing"])].join("\n");
}

/** The page as Markdown. */
export function page(ways: readonly Way[]): string {
  const heading = ["from", "to", ...KINDS.map((op) => OPS[op]), "interruptions", "writes wait"];
  return [
    HEAD,
    "## Overview",
    `| ${heading.join(" | ")} |`,
    `|${heading.map(() => "---").join("|")}|`,
    ...ways.map(row),
    "",
    "## Each way",
    ...ways.map((way) => `${details(way)}\n`),
  ].join("\n");
}
