/** A stand-in for Pulumi's `docker` plugin that builds nothing: an image is the digest of what was asked for. */
import { createHash } from "node:crypto";
import { flag, map, object, text } from "../../../../offline/bridge/rules.ts";
import { serve } from "../../../../offline/bridge/serve.ts";
import { tableHandler } from "../../../../offline/bridge/table.ts";
import { isProps, type Props, textOf, type Value } from "../../../../offline/bridge/values.ts";

const secretText = text({ secret: true });

/** As the provider: another login alone is no change. */
const sameServer = (old: Value | undefined, now: Value) => isProps(old) && isProps(now) && old.server === now.server;

const pushed = new Set<string>();

/** The repository's tags are immutable: each can be pushed once. */
function push(wanted: Props): Props {
  const name = textOf(wanted.imageName);
  if (pushed.has(name)) throw new Error(`tag invalid: ${name} already exists and tags of the repository are immutable`);
  pushed.add(name);
  const digest = createHash("sha256").update(name).digest("hex");
  return { baseImageName: name, registryServer: "", repoDigest: `${name.replace(/:[^/]*$/, "")}@sha256:${digest}` };
}

await serve({
  name: "docker",
  version: "5.2.0",
  handlers: {
    "docker:index/image:Image": tableHandler({
      meta: {},
      rules: {
        imageName: text({ required: true }),
        build: object({ args: map(), context: text(), dockerfile: text(), platform: text() }),
        registry: object({ server: text(), username: text(), password: secretText }, { same: sameServer }),
        buildOnPreview: flag({ default: false }),
        skipPush: flag({ default: false }),
        baseImageName: text({ output: true }),
        registryServer: text({ output: true }),
        repoDigest: text({ output: true }),
      },
      async create(wanted) {
        return { id: textOf(wanted.imageName), outputs: push(wanted) };
      },
      async update(_, __, planned) {
        Object.assign(planned, push(planned));
      },
    }),
  },
});
