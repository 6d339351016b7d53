import type { Failure } from "./check.ts";
import type { Change } from "./diff.ts";
import type { Props } from "./values.ts";

/** What a handler may use besides the request: talk to the user, and learn that the user interrupted. */
export interface Session {
  readonly cancelled: AbortSignal;
  /** Shows a line next to the resource. `passing` lines are progress and vanish when the resource is done. */
  log(level: "info" | "warning", message: string, passing?: boolean): void;
}

/** One resource type, in the engine's terms (Check, Diff, Create, Read, Update, Delete of Pulumi's provider protocol). */
export interface Handler {
  /** Whether a replacement deletes first; some decide it by the change. */
  readonly deleteBeforeReplace?: boolean | ((request: { state: Props; inputs: Props }) => boolean);
  check(
    request: { urn: string; olds: Props; news: Props; seed: Uint8Array },
    session: Session,
  ): Promise<{ inputs: Props; failures: Failure[] }>;
  diff(request: { state: Props; inputs: Props }): Promise<Change[]>;
  create(request: { inputs: Props; preview: boolean }, session: Session): Promise<{ id: string; state: Props }>;
  /** @returns undefined when the real thing is gone. */
  read(request: { id: string; state: Props; inputs: Props }, session: Session): Promise<{ state: Props; inputs: Props } | undefined>;
  update(request: { id: string; state: Props; inputs: Props; preview: boolean }, session: Session): Promise<Props>;
  delete(request: { id: string; state: Props }, session: Session): Promise<void>;
}

export interface Provider {
  readonly name: string;
  readonly version: string;
  readonly handlers: { readonly [type: string]: Handler };
  /** What the provider can be asked without making anything, by function token. */
  readonly functions?: { readonly [token: string]: (args: Props) => Promise<Props> };
  /** Takes the provider's own configuration, keys without the package prefix. */
  configure?(config: Readonly<Record<string, string>>): Promise<void>;
}

/**
 * The resource exists but did not become ready. The engine records it with the error and tries an update at the next run,
 * as it does for the real plugins.
 */
export class InitError extends Error {
  readonly id: string;
  readonly state: Props;

  constructor(message: string, id: string, state: Props) {
    super(message);
    this.id = id;
    this.state = state;
  }
}
