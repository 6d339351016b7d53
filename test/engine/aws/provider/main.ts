/**
 * A stand-in for Pulumi's `aws` plugin for tests: the real provider's rules, and an account in a JSON file instead of AWS.
 * The folder of the account comes in PGLADDER_TEST_AWS.
 */
import { serve } from "../../../../offline/bridge/serve.ts";
import { Account } from "./account.ts";
import { functions } from "./functions.ts";
import { awsHandler, unknownRules } from "./handler.ts";
import { TYPES } from "./table.ts";

const folder = process.env.PGLADDER_TEST_AWS;
if (folder === undefined) throw new Error("PGLADDER_TEST_AWS: got nothing, want the folder of the account");
const strangers = unknownRules(TYPES);
if (strangers.length > 0) throw new Error(`coded rules that the data does not have: ${strangers.join(", ")}`);

let region = "us-east-1";
const account = new Account(folder);
const world = { account, region: () => region };

await serve({
  name: "aws",
  version: "7.48.0",
  handlers: Object.fromEntries(Object.entries(TYPES).map(([type, table]) => [type, awsHandler(type, table, world)])),
  functions: functions(account, world.region),
  async configure(config) {
    region = config.region ?? region;
  },
});
