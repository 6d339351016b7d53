import { serve } from "../bridge/serve.ts";
import { randomBytesResource, randomId, randomPassword, randomString } from "./resources.ts";

await serve({
  name: "random",
  version: "4.21.2",
  handlers: {
    "random:index/randomBytes:RandomBytes": randomBytesResource,
    "random:index/randomId:RandomId": randomId,
    "random:index/randomPassword:RandomPassword": randomPassword,
    "random:index/randomString:RandomString": randomString,
  },
});
