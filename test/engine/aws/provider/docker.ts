/** A stand-in for Pulumi's `docker` plugin that builds nothing: an image is the digest of what was asked for. */
import { createHash } from "node:crypto";
import { flag, map, object, text } from "../../../../offline/bridge/rules.ts";
import { serve } from "../../../../offline/bridge/serve.ts";
import { tableHandler } from "../../../../offline/bridge/table.ts";
import { textOf } from "../../../../offline/bridge/values.ts";

const secretText = text({ secret: true });

await serve({
  name: "docker",
  version: "5.2.0",
  handlers: {
    "docker:index/image:Image": tableHandler({
      meta: {},
      rules: {
        imageName: text({ required: true }),
        build: object({ args: map(), context: text(), dockerfile: text(), platform: text() }),
        registry: object({ server: text(), username: text(), password: secretText }),
        buildOnPreview: flag({ default: false }),
        skipPush: flag({ default: false }),
        baseImageName: text({ output: true }),
        registryServer: text({ output: true }),
        repoDigest: text({ output: true }),
      },
      async create(wanted) {
        const name = textOf(wanted.imageName);
        const digest = createHash("sha256").update(name).digest("hex");
        return {
          id: digest,
          outputs: { baseImageName: name, registryServer: "", repoDigest: `${name.replace(/:[^/]*$/, "")}@sha256:${digest}` },
        };
      },
    }),
  },
});
