/** The last shard's rows go back to the one that it was split from. */
import { clean, open } from "./grow-end.ts";
import { announce, flip } from "./grow-flip.ts";
import { catchUp, check, copy, hide, prepareShards, verify } from "./grow-steps.ts";
import type { GrowSteps } from "./grow-work.ts";

/** In order. */
export const SHRINK: GrowSteps = { check, prepare: prepareShards, hide, copy, "catch-up": catchUp, verify, announce, flip, open, clean };
