import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import type { Container } from "dockerode";
import { pack } from "tar-stream";
import { type Props, textOf } from "../bridge/values.ts";
import { messageOf } from "./engine.ts";

/** Writes one file into a container before its start. Mode: `permissions`, else 0744 for `executable`, else 0644; owner root. */
export async function upload(container: Container, file: Props): Promise<void> {
  const given = ["content", "contentBase64", "source"].filter((name) => textOf(file[name]) !== "");
  if (given.length === 0) throw new Error("error with upload content: one of 'content', 'content_base64', or 'source' must be set");
  if (given.length > 1) throw new Error("error with upload content: only one of 'content', 'content_base64', or 'source' can be set");
  const permissions = textOf(file.permissions);
  const archive = pack();
  archive.entry(
    {
      name: textOf(file.file).replace(/^\/+/, ""),
      mode: permissions !== "" ? Number.parseInt(permissions, 8) : file.executable === true ? 0o744 : 0o644,
      mtime: new Date(),
    },
    await contentOf(file),
  );
  archive.finalize();
  await container.putArchive(await buffer(archive), { path: "/" }).catch((error: unknown) => {
    throw new Error(`Unable to upload volume content: ${messageOf(error)}`);
  });
}

async function contentOf(file: Props): Promise<Buffer> {
  const source = textOf(file.source);
  if (source !== "") {
    return await readFile(source).catch((error: unknown) => {
      throw new Error(`could not read file: ${messageOf(error)}`);
    });
  }
  const encoded = textOf(file.contentBase64);
  return encoded !== "" ? Buffer.from(encoded, "base64") : Buffer.from(textOf(file.content), "utf8");
}
