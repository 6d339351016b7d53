import type { Provider } from "../bridge/handler.ts";
import { serve } from "../bridge/serve.ts";
import { container } from "./container.ts";
import { configureEngine } from "./engine.ts";
import { image } from "./image.ts";
import { network } from "./network.ts";
import { volume } from "./volume.ts";

const provider: Provider = {
  name: "docker",
  version: "5.2.0",
  configure: configureEngine,
  handlers: {
    "docker:index/container:Container": container,
    "docker:index/image:Image": image,
    "docker:index/network:Network": network,
    "docker:index/volume:Volume": volume,
  },
};

await serve(provider);
