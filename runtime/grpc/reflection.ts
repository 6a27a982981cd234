/**
 * Server reflection, version 1 and its alpha (the same messages under another name), from the descriptors of the
 * generated code. Descriptors are looked at when somebody asks.
 */

import {
  clone,
  create,
  type DescFile,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  MethodDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { bidiMethod, type GrpcService } from '../contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { file_dapr_proto_internals_v1_service_invocation } from '../generated/dapr/proto/internals/v1/service_invocation_pb.ts';
import { file_dapr_proto_runtime_v1_appcallback } from '../generated/dapr/proto/runtime/v1/appcallback_pb.ts';
import { file_dapr_proto_runtime_v1_dapr } from '../generated/dapr/proto/runtime/v1/dapr_pb.ts';
import {
  file_grpc_reflection_v1_reflection,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../generated/grpc/reflection/v1/reflection_pb.ts';
import {
  file_grpc_reflection_v1alpha_reflection,
  ServerReflectionRequestSchema as RequestAlphaSchema,
  ServerReflectionResponseSchema as ResponseAlphaSchema,
} from '../generated/grpc/reflection/v1alpha/reflection_pb.ts';
import { file_skerry_additions } from '../generated/skerry_additions_pb.ts';
import { codec } from '../grpc-client/codec.ts';

type Request = MessageShape<typeof ServerReflectionRequestSchema>;
type Answer = MessageInitShape<typeof ServerReflectionResponseSchema>;

const ROOTS: readonly DescFile[] = [
  file_dapr_proto_runtime_v1_dapr,
  file_dapr_proto_runtime_v1_appcallback,
  file_skerry_additions,
  file_dapr_proto_internals_v1_service_invocation,
  file_grpc_reflection_v1_reflection,
  file_grpc_reflection_v1alpha_reflection,
];

/** Methods of the Dapr service that the packaged descriptor lacks: request and response message, streaming both ways. */
const NEWER_METHODS: Readonly<Record<string, readonly [request: string, response: string, stream?: true]>> = {
  ScheduleJob: ['ScheduleJobRequest', 'ScheduleJobResponse'],
  GetJob: ['GetJobRequest', 'GetJobResponse'],
  DeleteJob: ['DeleteJobRequest', 'DeleteJobResponse'],
  ListJobs: ['ListJobsRequest', 'ListJobsResponse'],
  DeleteJobsByPrefix: ['DeleteJobsByPrefixRequest', 'DeleteJobsByPrefixResponse'],
  SubscribeActorEventsAlpha1: [
    'SubscribeActorEventsRequestAlpha1',
    'SubscribeActorEventsResponseAlpha1',
    true,
  ],
};

/** The two reflection services for a server that serves `services`. */
export function createReflectionServices(services: readonly GrpcService[]): readonly GrpcService[] {
  let index: Index | undefined;
  const names = [
    ...services.map(({ name }) => name),
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
  ].sort();
  async function* handle(requests: AsyncIterable<Request>): AsyncGenerator<Answer> {
    index ??= buildIndex();
    const sent = new Set<string>();
    for await (const request of requests) yield answer(request, names, index, sent);
  }
  const service = (name: string, request: DescMessage, response: DescMessage): GrpcService => ({
    name,
    methods: {
      ServerReflectionInfo: bidiMethod(
        codec(request),
        {
          encode: (message: Answer) =>
            toBinary(response, create(response, message as Record<string, unknown>)),
          decode: () => ({}),
        },
        (requests) => handle(requests as AsyncIterable<Request>),
      ),
    },
  });
  return [
    service(
      'grpc.reflection.v1.ServerReflection',
      ServerReflectionRequestSchema,
      ServerReflectionResponseSchema,
    ),
    service('grpc.reflection.v1alpha.ServerReflection', RequestAlphaSchema, ResponseAlphaSchema),
  ];
}

interface Index {
  readonly files: ReadonlyMap<string, FileDescriptorProto>;
  /** Full name of a service, method, message, enum or extension to the name of its file. */
  readonly symbols: ReadonlyMap<string, string>;
}

function answer(request: Request, names: readonly string[], index: Index, sent: Set<string>): Answer {
  const reply = { validHost: request.host, originalRequest: request } as const;
  const asked = request.messageRequest;
  const files = (name: string | undefined): Answer =>
    name === undefined || !index.files.has(name)
      ? { ...reply, messageResponse: failure(GrpcCode.NotFound, 'proto: not found') }
      : {
          ...reply,
          messageResponse: {
            case: 'fileDescriptorResponse',
            value: { fileDescriptorProto: withImports(name, index, sent) },
          },
        };
  switch (asked.case) {
    case 'listServices':
      return {
        ...reply,
        messageResponse: {
          case: 'listServicesResponse',
          value: { service: names.map((name) => ({ name })) },
        },
      };
    case 'fileByFilename':
      return files(asked.value);
    case 'fileContainingSymbol':
      return files(index.symbols.get(asked.value));
    case 'fileContainingExtension':
      return files(undefined);
    case 'allExtensionNumbersOfType':
      return index.symbols.has(asked.value)
        ? {
            ...reply,
            messageResponse: { case: 'allExtensionNumbersResponse', value: { baseTypeName: asked.value } },
          }
        : { ...reply, messageResponse: failure(GrpcCode.NotFound, 'proto: not found') };
    default:
      throw new GrpcStatusError(GrpcCode.InvalidArgument, 'invalid MessageRequest: <nil>');
  }
}

function failure(errorCode: number, errorMessage: string): NonNullable<Answer['messageResponse']> {
  return { case: 'errorResponse', value: { errorCode, errorMessage } };
}

/** A file and what it imports, as far as this stream has not sent it yet. */
function withImports(name: string, index: Index, sent: Set<string>): Uint8Array[] {
  const file = index.files.get(name);
  if (file === undefined || sent.has(name)) return [];
  sent.add(name);
  return [
    toBinary(FileDescriptorProtoSchema, file),
    ...file.dependency.flatMap((next) => withImports(next, index, sent)),
  ];
}

function buildIndex(): Index {
  const files = new Map<string, FileDescriptorProto>();
  const symbols = new Map<string, string>();
  const visit = (file: DescFile): void => {
    const name = file.proto.name;
    if (files.has(name)) return;
    files.set(name, file === file_dapr_proto_runtime_v1_dapr ? withNewerMethods(file.proto) : file.proto);
    for (const dependency of file.dependencies) visit(dependency);
    for (const service of file.services) {
      symbols.set(service.typeName, name);
      for (const method of service.methods) symbols.set(`${service.typeName}.${method.name}`, name);
    }
    for (const message of file.messages) visitMessage(message, name, symbols);
    for (const type of file.enums) symbols.set(type.typeName, name);
  };
  for (const root of ROOTS) visit(root);
  for (const method of Object.keys(NEWER_METHODS)) {
    symbols.set(`dapr.proto.runtime.v1.Dapr.${method}`, file_dapr_proto_runtime_v1_dapr.proto.name);
  }
  return { files, symbols };
}

function visitMessage(message: DescMessage, file: string, symbols: Map<string, string>): void {
  symbols.set(message.typeName, file);
  for (const nested of message.nestedMessages) visitMessage(nested, file, symbols);
  for (const type of message.nestedEnums) symbols.set(type.typeName, file);
}

function withNewerMethods(file: FileDescriptorProto): FileDescriptorProto {
  const copy = clone(FileDescriptorProtoSchema, file);
  const service = copy.service.find(({ name }) => name === 'Dapr');
  if (service === undefined) throw new Error(`no Dapr service in ${copy.name}`);
  copy.dependency.push(file_skerry_additions.proto.name);
  const type = (name: string): string => `.dapr.proto.runtime.v1.${name}`;
  for (const [name, [request, response, stream]] of Object.entries(NEWER_METHODS)) {
    if (service.method.some((known) => known.name === name)) continue;
    const streaming = stream === undefined ? {} : { clientStreaming: true, serverStreaming: true };
    service.method.push(
      create(MethodDescriptorProtoSchema, {
        name,
        inputType: type(request),
        outputType: type(response),
        ...streaming,
      }),
    );
  }
  return copy;
}
