import * as grpc from "@grpc/grpc-js";
import * as settings from "@pulumi/pulumi/runtime/settings.js";

/**
 * Makes the program's calls wait for the engine instead of failing while the connection is being made.
 *
 * On a machine under load the first call can fail with UNAVAILABLE. The Automation API takes any such error for the engine's own end and
 * reports a program that finished well (automation/server.js, `isGrpcError`); the engine then plans to delete every resource that the
 * program had not registered yet. Seen with @pulumi/pulumi 3.270 at a load of 15 on two cores: about one run in a hundred.
 * To be called once, before a stack with an inline program runs.
 */
export function waitForEngine(): void {
  const { interceptors } = (settings as unknown as { grpcClientOptions: { interceptors: grpc.Interceptor[] } }).grpcClientOptions;
  interceptors.push(
    (options, nextCall) =>
      new grpc.InterceptingCall(nextCall(options), {
        start(metadata, listener, next) {
          metadata.setOptions({ ...metadata.getOptions(), waitForReady: true });
          next(metadata, listener);
        },
      }),
  );
}
