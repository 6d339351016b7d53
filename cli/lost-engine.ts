import { createRequire } from "node:module";

/**
 * Makes an inline program fail when it loses the engine.
 *
 * The Automation API takes any gRPC error that a program ends with for the engine's own end, and reports a program that ran well
 * (`isGrpcError` in @pulumi/pulumi 3.270's automation/server.js). When it was the connection that failed, which happens on a machine under
 * load ("14 UNAVAILABLE: No connection established"), the engine then believes that the program has no resources any more and deletes
 * them all. With this, such a program is a failed one, and nothing is deleted.
 *
 * To be called once, before a stack with an inline program runs.
 */
export function failOnLostEngine(): void {
  const errors = createRequire(import.meta.url)("@pulumi/pulumi/errors.js") as { isGrpcError: (error: unknown) => boolean };
  errors.isGrpcError = () => false;
}
