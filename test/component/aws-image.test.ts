/** The pooler hosts' image under mocks: where it is kept and what it is built of. Cannot prove that it builds: test/postgres/pooler-host.test.ts does. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { PoolerImage } from "../../components/aws/image.ts";
import { type Made, recorded, the } from "./aws-mocks.ts";
import { commonOf, HASH, HOME, keyOf, placeOf, tags } from "./aws-parts.ts";

const run = (base: string, protect = true) =>
  recorded((options) => new PoolerImage("image", { ...commonOf(), protect, place: placeOf(HOME, options), base }, options));
const image = (made: readonly Made[]) => the(made, "docker.Image", "pooler");
let made: Made[];
beforeAll(async () => {
  made = await run("debian:trixie-slim");
});

test("a repository of its own, encrypted, scanned, whose tags cannot be used again, with the last ten images", () => {
  const repository = the(made, "ecr.Repository", "pooler");
  expect(repository.args).toEqual({
    name: expect.stringMatching(new RegExp(`^pgladder-dev-pooler-${HASH}$`)),
    imageTagMutability: "IMMUTABLE",
    imageScanningConfiguration: { scanOnPush: true },
    encryptionConfigurations: [{ encryptionType: "KMS", kmsKey: keyOf(HOME) }],
    forceDelete: false,
    tags: tags("pooler-image"),
  });
  expect(repository.ignoreChanges).toEqual(["encryptionConfigurations"]);
  const { rules } = JSON.parse(the(made, "ecr.LifecyclePolicy", "pooler").args.policy as string);
  expect(rules[0].selection).toEqual({ tagStatus: "any", countType: "imageCountMoreThan", countNumber: 10 });
});

test("built for the hosts' architecture from the configured base, pushed with a login that is a secret", () => {
  const { args, secret, ignoreChanges } = image(made);
  const { context, dockerfile } = args.build as { context: string; dockerfile: string };
  expect(args).toMatchObject({
    imageName: expect.stringMatching(new RegExp(`^registry\\.test/pgladder-dev-pooler-${HASH}:[0-9a-f]{16}-0a1b2c3d$`)),
    build: { args: { BASE: "debian:trixie-slim" }, platform: "linux/amd64" },
    registry: { server: expect.stringContaining("registry.test/"), username: "AWS", password: "login" },
  });
  // Not ignored: a push with the login of the image before would be refused after 12 hours.
  expect([secret, ignoreChanges]).toEqual([["registry"], []]);
  expect(dockerfile).toBe(join(context, "Dockerfile"));
  expect(readdirSync(context).sort()).toEqual(["Dockerfile", "host.mjs"]);
  expect(readFileSync(join(context, "host.mjs"), "utf8")).not.toContain(process.cwd());
});

test("the tag says what the image is made of, the same again, and is a new one for each release", async () => {
  const tag = (one: readonly Made[]) => (image(one).args.imageName as string).split(":").at(-1);
  expect(the(made, "random.RandomId", "release").args).toEqual({ byteLength: 8, keepers: { content: tag(made)!.split("-")[0] } });
  expect(tag(await run("debian:trixie-slim"))).toBe(tag(made));
  expect(tag(await run("debian:sid-slim"))).not.toBe(tag(made));
});

test("without protect the repository goes with its images", async () => {
  expect(the(await run("debian:trixie-slim", false), "ecr.Repository", "pooler").args.forceDelete).toBe(true);
});
