import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import * as aws from "@pulumi/aws";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { type BuildOptions, buildSync } from "esbuild";
import type { Architecture } from "../../plan/pooler-host.ts";
import type { Common, Place } from "./contract.ts";

const ROOT = join(import.meta.dirname, "../..");

/** How the pooler host's program becomes one file. */
export const HOST_BUNDLE = {
  entryPoints: [join(ROOT, "agent/host/main.ts")],
  // Paths are written into the bundle; the folder that `up` was called from must not be.
  absWorkingDir: ROOT,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  external: ["pg-native"],
  // CommonJS packages inside the bundle ask for it.
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  logLevel: "error",
} as const satisfies BuildOptions;

/** Releases that stay in the repository. */
const KEPT = 10;

const PLATFORM: Record<Architecture, string> = { x86_64: "linux/amd64", arm64: "linux/arm64" };

export interface PoolerImageArgs extends Common {
  /** The home region; hosts of further regions pull from it too. */
  place: Place;
  /** Base image. A change builds a new image, and hosts are replaced one after the other. */
  base: string;
  /** @default "x86_64", which every engine can build, without emulation or with Docker's own */
  architecture?: Architecture;
}

/** The image of the pooler hosts: built on this machine's Docker, kept in a repository of its own, named by its digest. */
export class PoolerImage extends pulumi.ComponentResource {
  /** `<repository>@sha256:…`: what hosts run is exactly what was built. */
  readonly digest: pulumi.Output<string>;
  readonly repositoryArn: pulumi.Output<string>;

  constructor(name: string, args: PoolerImageArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:PoolerImage", name, {}, options);
    const { place, stack, base, naming, tags, protect, architecture = "x86_64" } = args;
    const child = { parent: this, provider: place.provider };
    const repository = new aws.ecr.Repository(
      "pooler",
      {
        name: naming("pooler"),
        imageTagMutability: "IMMUTABLE",
        imageScanningConfiguration: { scanOnPush: true },
        encryptionConfigurations: [{ encryptionType: "KMS", kmsKey: place.kmsKeyArn }],
        forceDelete: !protect,
        tags: tags("pooler-image"),
      },
      // Another key would replace the repository under the images that hosts still run.
      { ...child, ignoreChanges: ["encryptionConfigurations"] },
    );
    new aws.ecr.LifecyclePolicy("pooler", { repository: repository.name, policy: keepLast(KEPT) }, child);
    const context = hostContext(stack);
    const login = aws.ecr.getAuthorizationTokenOutput({ registryId: repository.registryId }, child);
    const content = contentOf(context, base, architecture);
    // Tags cannot be used again, and the way back to an earlier content builds and pushes it as a release of its own.
    const release = new random.RandomId("release", { byteLength: 8, keepers: { content } }, { parent: this });
    const image = new docker.Image(
      "pooler",
      {
        imageName: pulumi.interpolate`${repository.repositoryUrl}:${content}-${release.hex}`,
        build: { context, dockerfile: join(context, "Dockerfile"), args: { BASE: base }, platform: PLATFORM[architecture] },
        registry: { server: repository.repositoryUrl, username: login.userName, password: pulumi.secret(login.password) },
      },
      // The login is a new one at every run and ends after 12 hours; of the registry the provider compares the server only.
      { parent: this },
    );
    this.digest = image.repoDigest;
    this.repositoryArn = repository.arn;
    this.registerOutputs({ digest: this.digest });
  }
}

const keepLast = (count: number): string =>
  JSON.stringify({
    rules: [
      {
        rulePriority: 1,
        description: `the last ${count}`,
        selection: { tagStatus: "any", countType: "imageCountMoreThan", countNumber: count },
        action: { type: "expire" },
      },
    ],
  });

/** The build context: the Dockerfile and the host's program. Files are replaced as a whole: another run may be reading them. */
function hostContext(stack: string): string {
  const context = join(ROOT, "dist/pooler-rds", stack);
  mkdirSync(context, { recursive: true });
  const [bundle] = buildSync({ ...HOST_BUNDLE, write: false }).outputFiles;
  const put = (name: string, content: Uint8Array) => {
    const own = `${context}.${name}.${process.pid}.${threadId}`;
    writeFileSync(own, content);
    renameSync(own, join(context, name));
  };
  put("Dockerfile", readFileSync(join(ROOT, "images/pooler/rds.Dockerfile")));
  put("host.mjs", bundle!.contents);
  return context;
}

/** A hash of what the image is made of. The context's path is in it: from another checkout the image is built anew, and hosts are replaced once. */
function contentOf(context: string, base: string, architecture: string): string {
  const hash = createHash("sha256").update(JSON.stringify([context, base, architecture]));
  for (const file of ["Dockerfile", "host.mjs"]) hash.update(readFileSync(join(context, file)));
  return hash.digest("hex").slice(0, 16);
}
