import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { buildSync } from "esbuild";

const ROOT = join(import.meta.dirname, "../..");

const PLATFORM = process.arch === "arm64" ? "linux/arm64" : "linux/amd64";

/** The images of the stack, built from images/ on the Docker engine that runs them. */
export class Images extends pulumi.ComponentResource {
  readonly node: pulumi.Output<string>;
  readonly pooler: pulumi.Output<string>;
  readonly agent: pulumi.Output<string>;
  /** undefined where there is no cache. */
  readonly cache: pulumi.Output<string> | undefined;

  constructor(
    name: string,
    { stack, base, cache }: { stack: string; base: string; cache: boolean },
    options?: pulumi.ComponentResourceOptions,
  ) {
    super("pgladder:docker:Images", name, {}, options);
    const image = (part: string, context: string) =>
      new docker.Image(
        `image-${part}`,
        {
          imageName: `pgladder/${part}:latest`,
          build: { context, dockerfile: join(context, "Dockerfile"), args: { BASE: base }, platform: PLATFORM },
          skipPush: true,
        },
        { parent: this },
      ).repoDigest;
    this.node = image("node", join(ROOT, "images/node"));
    this.pooler = image("pooler", join(ROOT, "images/pooler"));
    this.agent = image("agent", agentContext(stack));
    this.cache = cache ? image("cache", join(ROOT, "images/cache")) : undefined;
    this.registerOutputs({ node: this.node, pooler: this.pooler, agent: this.agent });
  }
}

/** The agent's build context: its Dockerfile, one bundle, the platform's SQL and the SQL linter's binary. */
function agentContext(stack: string): string {
  const context = join(ROOT, "dist/agent", stack);
  rmSync(context, { recursive: true, force: true });
  mkdirSync(context, { recursive: true });
  cpSync(join(ROOT, "images/agent"), context, { recursive: true });
  cpSync(join(ROOT, "sql/platform"), join(context, "sql/platform"), { recursive: true });
  // PostgreSQL's parser looks for its WebAssembly beside the bundle.
  cpSync(join(ROOT, "node_modules/libpg-query/wasm/libpg-query.wasm"), join(context, "libpg-query.wasm"));
  cpSync(join(ROOT, `node_modules/@squawk-cli/linux-${process.arch}/bin`), join(context, "bin"), { recursive: true });
  buildSync({
    entryPoints: [join(ROOT, "agent/main.ts")],
    outfile: join(context, "agent.mjs"),
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    external: ["pg-native"],
    // CommonJS packages inside the bundle ask for these.
    banner: {
      js: [
        'import { createRequire } from "node:module";',
        "const require = createRequire(import.meta.url);",
        "const __dirname = import.meta.dirname;",
        "const __filename = import.meta.filename;",
      ].join(" "),
    },
    logLevel: "error",
  });
  return context;
}
