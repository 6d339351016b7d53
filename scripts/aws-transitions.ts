/**
 * Walks the ladder on AWS with the real Pulumi engine and a stand-in account, and writes docs/aws-transitions.md.
 * `node scripts/aws-transitions.ts`; a test of the engine layer fails when the page is not what it would write.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cloud } from "../test/engine/aws/cloud.ts";
import { walk } from "../test/engine/aws/transitions.ts";
import { page } from "../test/engine/aws/transitions-page.ts";

const cloud = await Cloud.open();
try {
  writeFileSync(join(import.meta.dirname, "../docs/aws-transitions.md"), page(await walk(cloud, "walk")));
} finally {
  cloud.close();
}
