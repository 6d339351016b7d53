/**
 * Runs a package of the agent's functions as Lambda does: its files in a folder, a process of the runtime's Node version, the SDK from
 * outside of the bundle, an answer in the runtime's form. The SDK is a stand-in: a file stands for Secrets Manager and EC2.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Contents } from "../../components/aws/package.ts";
import type { LambdaEvent } from "../../plan/lambda.ts";

const SDK = {
  "client-secrets-manager": `
    const { readFileSync } = require("node:fs");
    exports.SecretsManager = class {
      async getSecretValue({ SecretId }) {
        const password = JSON.parse(readFileSync(process.env.SECRETS, "utf8"))[SecretId];
        if (password === undefined) throw new Error("Secrets Manager can't find the specified secret.");
        return { SecretString: JSON.stringify({ username: SecretId, password }) };
      }
    };`,
  "client-ec2": `
    const { readFileSync } = require("node:fs");
    exports.EC2 = class {
      async describeInstances({ Filters: [{ Values: [group] }] }) {
        const address = JSON.parse(readFileSync(process.env.SECRETS, "utf8"))[group];
        return { Reservations: [{ Instances: address ? [{ PrivateIpAddress: address }] : [] }] };
      }
    };`,
};

/** What Lambda's own client does around the handler. */
const RUNTIME = `
  import { readFileSync, writeFileSync } from "node:fs";
  const [bundle, event, answer, milliseconds] = process.argv.slice(2);
  const end = Date.now() + Number(milliseconds);
  const { handler } = await import(bundle);
  const tell = (value) => writeFileSync(answer, JSON.stringify({ version: process.version, ...value }));
  try {
    tell({ result: await handler(JSON.parse(readFileSync(event, "utf8")), { getRemainingTimeInMillis: () => end - Date.now() }) });
  } catch (error) {
    tell({ error: { errorType: error.name, errorMessage: error.message, trace: error.stack?.split("\\n") } });
  }
  process.exit(0);`;

export interface Answer {
  /** Of Node. */
  version: string;
  result?: unknown;
  error?: { errorType: string; errorMessage: string; trace: string[] };
  /** Standard output, line by line. */
  lines: string[];
}

export interface LambdaBench {
  /** Invokes the function of a package. @param limit milliseconds that the invocation may take */
  invoke: (contents: Contents, event: LambdaEvent, limit?: number) => Promise<Answer>;
  /** Values of secrets by ARN, and the address of a group's one host by the group's name. */
  give: (secrets: Readonly<Record<string, string>>) => void;
  end: () => void;
}

/** @param authorities PEM of the servers' certificates, in the place of the runtime's own */
export function lambdaBench(authorities: string): LambdaBench {
  const folder = mkdtempSync(join(tmpdir(), "pgladder-lambda-"));
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  for (const [name, text] of Object.entries(SDK)) put(`runtime/node_modules/@aws-sdk/${name}/index.js`, text);
  put("runtime/bootstrap.mjs", RUNTIME);
  put("ca.pem", authorities);
  let count = 0;
  return {
    give: (secrets) => put("secrets.json", JSON.stringify(secrets)),
    invoke: async (contents, event, limit = 300_000) => {
      const task = `task-${++count}`;
      for (const [path, content] of Object.entries(contents)) {
        if ("text" in content) put(`${task}/${path}`, content.text);
        else {
          mkdirSync(dirname(join(folder, task, path)), { recursive: true });
          cpSync(content.file, join(folder, task, path));
        }
      }
      put(`${task}.event`, JSON.stringify(event));
      const working = join(folder, `${task}.tmp`);
      mkdirSync(working);
      const environment = {
        NODE_PATH: join(folder, "runtime/node_modules"),
        PGLADDER_CA: join(folder, "ca.pem"),
        SECRETS: join(folder, "secrets.json"),
        TMPDIR: working,
        PATH: "/usr/bin:/bin",
      };
      const place = [join(folder, task, "agent.mjs"), join(folder, `${task}.event`), join(folder, `${task}.answer`), String(limit)];
      const child = spawn(process.execPath, [join(folder, "runtime/bootstrap.mjs"), ...place], { env: environment });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
      await new Promise((resolve) => child.once("close", resolve));
      const lines = output.split("\n").filter((line) => line !== "");
      const answer = readFileSync(join(folder, `${task}.answer`), { encoding: "utf8", flag: "a+" });
      if (answer === "") throw new Error(`the function gave no answer: ${output}`);
      return { ...(JSON.parse(answer) as Omit<Answer, "lines">), lines };
    },
    end: () => rmSync(folder, { recursive: true, force: true }),
  };
}
