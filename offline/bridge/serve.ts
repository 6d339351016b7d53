import * as grpc from "@grpc/grpc-js";
import { EngineClient } from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import engine from "@pulumi/pulumi/proto/engine_pb.js";
import plugin from "@pulumi/pulumi/proto/plugin_pb.js";
import { ResourceProviderService } from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import proto from "@pulumi/pulumi/proto/provider_pb.js";
import status from "@pulumi/pulumi/proto/status_pb.js";
import anypb from "google-protobuf/google/protobuf/any_pb.js";
import empty from "google-protobuf/google/protobuf/empty_pb.js";
import struct from "google-protobuf/google/protobuf/struct_pb.js";
import type { Change } from "./diff.ts";
import { type Handler, InitError, type Provider, type Session } from "./handler.ts";
import type { Props } from "./values.ts";

const { ADD, ADD_REPLACE, DELETE, DELETE_REPLACE, UPDATE, UPDATE_REPLACE } = proto.PropertyDiff.Kind;
const KINDS = { add: [ADD, ADD_REPLACE], delete: [DELETE, DELETE_REPLACE], update: [UPDATE, UPDATE_REPLACE] } as const;

function props(value: struct.Struct | undefined): Props {
  return (value?.toJavaScript() ?? {}) as Props;
}

function pack(value: Props): struct.Struct {
  return struct.Struct.fromJavaScript(value);
}

function typeOf(urn: string): string {
  return (urn.split("::")[2] ?? "").split("$").pop() ?? "";
}

/** Errors as the engine reads them; a resource that exists but is not ready travels in the details. */
function answerError(cause: unknown): Partial<grpc.ServiceError> {
  const message = cause instanceof Error ? cause.message : String(cause);
  const metadata = new grpc.Metadata();
  if (cause instanceof InitError) {
    const failed = new proto.ErrorResourceInitFailed();
    failed.setId(cause.id);
    failed.setProperties(pack(cause.state));
    failed.setReasonsList([message]);
    const detail = new anypb.Any();
    detail.pack(failed.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
    const answer = new status.Status();
    answer.setCode(grpc.status.UNKNOWN);
    answer.setMessage(message);
    answer.addDetails(detail);
    metadata.add("grpc-status-details-bin", Buffer.from(answer.serializeBinary()));
  }
  return { code: grpc.status.UNKNOWN, details: message, message, metadata };
}

function unary<In, Out>(work: (request: In) => Promise<Out>): grpc.handleUnaryCall<In, Out> {
  return (call, done) => {
    work(call.request).then(
      (answer) => done(null, answer),
      (error: unknown) => done(answerError(error)),
    );
  };
}

function diffAnswer(changes: readonly Change[], deleteFirst: boolean): InstanceType<typeof proto.DiffResponse> {
  const answer = new proto.DiffResponse();
  const { DIFF_NONE, DIFF_SOME } = proto.DiffResponse.DiffChanges;
  answer.setChanges(changes.length === 0 ? DIFF_NONE : DIFF_SOME);
  answer.setHasdetaileddiff(changes.length > 0);
  for (const { property, kind, replaces } of changes) {
    const detail = new proto.PropertyDiff();
    detail.setKind(KINDS[kind][replaces ? 1 : 0]);
    answer.getDetaileddiffMap().set(property, detail);
  }
  answer.setDiffsList(changes.map((change) => change.property));
  answer.setReplacesList(changes.filter((change) => change.replaces).map((change) => change.property));
  answer.setDeletebeforereplace(deleteFirst);
  return answer;
}

/**
 * Serves a provider to the Pulumi engine as a plugin process does: the port on standard output, then gRPC until the engine ends it.
 * `@pulumi/pulumi/provider` has such a server, but without previews, detailed differences and partial failures.
 */
export async function serve(provider: Provider): Promise<void> {
  const stop = new AbortController();
  let client = connect(process.argv.slice(2).find((argument) => !argument.startsWith("-")));

  function connect(address: string | undefined): EngineClient | undefined {
    return address === undefined ? undefined : new EngineClient(address, grpc.credentials.createInsecure());
  }

  function log(urn: string, level: "info" | "warning", message: string, passing = false): void {
    const request = new engine.LogRequest();
    request.setSeverity(level === "info" ? engine.LogSeverity.INFO : engine.LogSeverity.WARNING);
    request.setUrn(urn);
    request.setMessage(message);
    request.setEphemeral(passing);
    client?.log(request, () => undefined);
  }

  function find(urn: string): [Handler, Session] {
    const handler = provider.handlers[typeOf(urn)];
    if (handler === undefined) {
      const known = Object.keys(provider.handlers).join(", ");
      throw new Error(`${typeOf(urn)}: the stand-in ${provider.name} provider has only ${known}; the real plugin is needed`);
    }
    return [handler, { cancelled: stop.signal, log: (level, message, passing) => log(urn, level, message, passing) }];
  }

  const methods: grpc.UntypedServiceImplementation = {
    getPluginInfo: unary(async () => {
      const answer = new plugin.PluginInfo();
      answer.setVersion(provider.version);
      return answer;
    }),
    attach: unary(async (request: InstanceType<typeof plugin.PluginAttach>) => {
      client = connect(request.getAddress());
      return new empty.Empty();
    }),
    getSchema: unary(async () => {
      const answer = new proto.GetSchemaResponse();
      answer.setSchema("{}");
      return answer;
    }),
    checkConfig: unary(async (request: InstanceType<typeof proto.CheckRequest>) => {
      const answer = new proto.CheckResponse();
      answer.setInputs(request.getNews() ?? pack({}));
      return answer;
    }),
    diffConfig: unary(async () => new proto.DiffResponse()),
    configure: unary(async (request: InstanceType<typeof proto.ConfigureRequest>) => {
      const config: Record<string, string> = {};
      const prefix = `${provider.name}:config:`;
      request.getVariablesMap().forEach((value: string, key: string) => {
        config[key.startsWith(prefix) ? key.slice(prefix.length) : key] = value;
      });
      await provider.configure?.(config);
      log("", "info", `stand-in ${provider.name} provider: plugins cannot be downloaded here`);
      const answer = new proto.ConfigureResponse();
      answer.setSupportspreview(true);
      return answer;
    }),
    check: unary(async (request: InstanceType<typeof proto.CheckRequest>) => {
      const urn = request.getUrn();
      const [handler, session] = find(urn);
      const seed = Buffer.from(request.getRandomseed_asU8());
      const { inputs, failures } = await handler.check(
        { urn, olds: props(request.getOlds()), news: props(request.getNews()), seed },
        session,
      );
      const answer = new proto.CheckResponse();
      answer.setInputs(pack(inputs));
      answer.setFailuresList(
        failures.map(({ property, reason }) => {
          const failure = new proto.CheckFailure();
          failure.setProperty(property);
          failure.setReason(reason);
          return failure;
        }),
      );
      return answer;
    }),
    diff: unary(async (request: InstanceType<typeof proto.DiffRequest>) => {
      const [handler] = find(request.getUrn());
      const asked = { state: props(request.getOlds()), inputs: props(request.getNews()) };
      const { deleteBeforeReplace } = handler;
      const deleteFirst = typeof deleteBeforeReplace === "function" ? deleteBeforeReplace(asked) : deleteBeforeReplace === true;
      return diffAnswer(await handler.diff(asked), deleteFirst);
    }),
    create: unary(async (request: InstanceType<typeof proto.CreateRequest>) => {
      const [handler, session] = find(request.getUrn());
      const { id, state } = await handler.create({ inputs: props(request.getProperties()), preview: request.getPreview() }, session);
      const answer = new proto.CreateResponse();
      answer.setId(id);
      answer.setProperties(pack(state));
      return answer;
    }),
    read: unary(async (request: InstanceType<typeof proto.ReadRequest>) => {
      const [handler, session] = find(request.getUrn());
      const id = request.getId();
      const found = await handler.read({ id, state: props(request.getProperties()), inputs: props(request.getInputs()) }, session);
      const answer = new proto.ReadResponse();
      if (found === undefined) return answer;
      answer.setId(id);
      answer.setProperties(pack(found.state));
      answer.setInputs(pack(found.inputs));
      return answer;
    }),
    update: unary(async (request: InstanceType<typeof proto.UpdateRequest>) => {
      const [handler, session] = find(request.getUrn());
      const [state, inputs] = [props(request.getOlds()), props(request.getNews())];
      const answer = new proto.UpdateResponse();
      answer.setProperties(pack(await handler.update({ id: request.getId(), state, inputs, preview: request.getPreview() }, session)));
      return answer;
    }),
    delete: unary(async (request: InstanceType<typeof proto.DeleteRequest>) => {
      const [handler, session] = find(request.getUrn());
      await handler.delete({ id: request.getId(), state: props(request.getProperties()) }, session);
      return new empty.Empty();
    }),
    invoke: unary(async (request: InstanceType<typeof proto.InvokeRequest>) => {
      const answer = new proto.InvokeResponse();
      const token = request.getTok();
      const work = provider.functions?.[token];
      if (work === undefined) throw new Error(`${token}: the stand-in ${provider.name} provider does not have this function`);
      answer.setReturn(pack(await work(props(request.getArgs()))));
      return answer;
    }),
    cancel: unary(async () => {
      stop.abort(new Error("interrupted"));
      return new empty.Empty();
    }),
  };

  const server = new grpc.Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
  server.addService(ResourceProviderService, methods);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  process.stdout.write(`${port}\n`);
}
