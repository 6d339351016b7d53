import { Readable } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import type { ImageBuildOptions } from "dockerode";
import type { Change } from "../bridge/diff.ts";
import type { Handler, Session } from "../bridge/handler.ts";
import { hasUnknown, isProps, mapOf, type Props, secret, textOf, textsOf, unwrapSecret } from "../bridge/values.ts";
import { docker, messageOf } from "./engine.ts";
import { contextArchive, contextDigest, relativeDockerfile, requireDockerfile } from "./image-context.ts";

const PLATFORM = `linux/${process.arch === "x64" ? "amd64" : process.arch}`;
const BUILDERS: Readonly<Record<string, "1" | "2">> = { BuilderV1: "1", BuilderBuildKit: "2" };

/**
 * docker.Image: builds from a context, locally. The real provider has no table for it but code of its own: every change is an update in
 * place that builds again, nothing is ever deleted, and the digest of the context is an input, so that only changed files build.
 */
export const image: Handler = {
  async check({ news }, session) {
    const given = isProps(news.build) ? news.build : {};
    const inputs: Props = { ...news, buildOnPreview: news.buildOnPreview === true };
    if (news.skipPush !== true) {
      return { inputs, failures: [{ property: "skipPush", reason: "got false, want true: the stand-in docker provider cannot push" }] };
    }
    const build: Props = { ...given };
    inputs.build = build;
    if (build.context === undefined) build.context = ".";
    if (build.dockerfile === undefined && !hasUnknown(build.context)) {
      build.dockerfile = isProps(news.build) ? `${textOf(build.context).replace(/\/$/, "")}/Dockerfile`.replace(/^\.\//, "") : "Dockerfile";
    }
    if (!hasUnknown(build.dockerfile) && !hasUnknown(build.context)) {
      const [context, dockerfile] = [textOf(build.context), textOf(build.dockerfile)];
      requireDockerfile(context, dockerfile);
      build.contextDigest = await contextDigest(context, dockerfile);
    }
    if (build.platform === undefined) {
      build.platform = PLATFORM;
      session.log("info", `Building your image for ${PLATFORM} architecture.`);
    }
    const builder = build.builderVersion;
    if (builder !== undefined && !hasUnknown(builder) && BUILDERS[textOf(builder)] === undefined)
      throw new Error("invalid Docker Builder version");
    return { inputs, failures: [] };
  },

  async diff({ state, inputs }) {
    const recorded = unwrapSecret(state.__inputs);
    const old = isProps(recorded) ? recorded : {};
    const changes: Change[] = [];
    for (const property of new Set([...Object.keys(old), ...Object.keys(inputs)])) {
      const [before, now] = [old[property], inputs[property]];
      if (isDeepStrictEqual(before, now) || (property === "registry" && sameServer(before, now))) continue;
      changes.push({ property, kind: before === undefined ? "add" : now === undefined ? "delete" : "update", replaces: false });
    }
    return changes;
  },

  async create({ inputs, preview }, session) {
    if (preview) return { id: "", state: inputs };
    return { id: textOf(inputs.imageName), state: await build(inputs, session) };
  },

  async read({ state, inputs }) {
    const { __inputs: recorded, ...outputs } = state;
    return { state: recorded === undefined ? outputs : { ...outputs, __inputs: secret(recorded) }, inputs };
  },

  async update({ inputs, preview }, session) {
    return preview ? inputs : await build(inputs, session);
  },

  async delete() {},
};

function sameServer(before: Props[string] | undefined, now: Props[string] | undefined): boolean {
  return isProps(before) && isProps(now) && before.server === now.server;
}

async function build(inputs: Props, session: Session): Promise<Props> {
  const name = textOf(inputs.imageName);
  const options = isProps(inputs.build) ? inputs.build : {};
  const context = textOf(options.context);
  const dockerfile = textOf(options.dockerfile);
  const cached = isProps(options.cacheFrom) ? textsOf(options.cacheFrom.images) : [];
  const { archive, dockerfile: inArchive } = await contextArchive(context, dockerfile);
  const request: ImageBuildOptions = {
    t: name,
    dockerfile: inArchive,
    buildargs: mapOf(options.args),
    version: BUILDERS[textOf(options.builderVersion)] ?? "2",
    platform: textOf(options.platform),
    abortSignal: session.cancelled,
  };
  if (cached.length > 0) request.cachefrom = JSON.stringify(cached);
  if (options.target !== undefined) request.target = textOf(options.target);
  if (options.network !== undefined) request.networkmode = textOf(options.network);
  if (options.addHosts !== undefined) request.extrahosts = textsOf(options.addHosts).join(",");

  session.log("info", "Starting Docker build", true);
  const stream = await docker()
    .buildImage(Readable.from([archive]), request)
    .catch((error: unknown) => {
      throw new Error(`error building image: ${messageOf(error)}`);
    });
  await followBuild(stream, session);
  const built = await docker().getImage(name).inspect();
  return {
    dockerfile: relativeDockerfile(context, dockerfile),
    context,
    baseImageName: name,
    registryServer: isProps(inputs.registry) ? textOf(inputs.registry.server) : "",
    imageName: name,
    platform: textOf(options.platform),
    repoDigest: built.Id,
    __inputs: secret(inputs),
  };
}

/** The client's decoder of build output, which its types leave out. */
type BuildOutput = ReturnType<typeof docker> & {
  followProgress(
    stream: NodeJS.ReadableStream,
    finished: (error: Error | null) => void,
    progress: (event: { stream?: string; status?: string; error?: string }) => void,
  ): void;
};

/** dockerode 5.0 leaves what BuildKit's commands print in base64; every other line of its output has a blank in it. */
function plainLine(line: string): string {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(line) && line.length % 4 === 0 ? Buffer.from(line, "base64").toString("utf8").trim() : line;
}

/** Shows a build's output as it comes. @throws the builder's error with the last lines before it. */
async function followBuild(stream: NodeJS.ReadableStream, session: Session): Promise<void> {
  const shown: string[] = [];
  let failure: string | undefined;
  await new Promise<void>((resolve, reject) => {
    const finished = (error: Error | null): void => {
      failure ??= error === null ? undefined : messageOf(error);
      if (failure === undefined) resolve();
      else reject(new Error(`error reading build output: ${failure}\n${shown.slice(-20).join("\n")}`));
    };
    (docker() as BuildOutput).followProgress(stream, finished, (event) => {
      failure ??= event.error;
      const line = plainLine((event.stream ?? event.status ?? "").trim());
      if (line === "") return;
      shown.push(line);
      session.log("info", line, true);
    });
  });
}
