/** The application of cached.ts as a process of its own, for tests that kill it. Arguments: write URL, cache URL, the authority's file. */
import { readFileSync } from "node:fs";
import { runCached } from "./cached.ts";

const [writeUrl = "", cacheUrl = "", authority = ""] = process.argv.slice(2);
await runCached({ writeUrl, cacheUrl, caCertificate: readFileSync(authority, "utf8") }, (writes) => {
  if (writes % 50 === 0) process.stdout.write(`${writes} writes\n`);
});
