import { create, createFileRegistry, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import t from 'tap';
import { unaryMethod } from '../../../runtime/contracts/grpc-wire/service.ts';
import { OPERATIONS } from '../../../runtime/contracts/operations.ts';
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../../../runtime/generated/grpc/reflection/v1/reflection_pb.ts';
import { createReflectionServices } from '../../../runtime/grpc/reflection.ts';
import { BYTES, openStream, startServer } from '../../support/grpc-harness.ts';

interface Test {
  teardown(run: () => unknown): void;
}
type Asked = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest']>;

async function open(t: Test, version = 'v1') {
  const dapr = {
    name: 'dapr.proto.runtime.v1.Dapr',
    methods: { GetState: unaryMethod(BYTES, BYTES, async (message) => message) },
  };
  const { client } = await startServer(t, createReflectionServices([dapr]));
  const stream = openStream(client, `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`);
  return async (messageRequest: Asked) => {
    stream.call.write(
      toBinary(
        ServerReflectionRequestSchema,
        create(ServerReflectionRequestSchema, { host: 'h', messageRequest }),
      ),
    );
    return fromBinary(ServerReflectionResponseSchema, await stream.next()).messageResponse;
  };
}

/** Files after what they import. */
function importsFirst(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const sorted: FileDescriptorProto[] = [];
  const visit = (file: FileDescriptorProto | undefined): void => {
    if (file === undefined || sorted.includes(file)) return;
    for (const name of file.dependency) visit(files.find((other) => other.name === name));
    sorted.push(file);
  };
  files.forEach(visit);
  return sorted;
}

for (const version of ['v1', 'v1alpha']) {
  t.test(`services are listed (${version})`, async (t) => {
    const ask = await open(t, version);
    t.match(await ask({ case: 'listServices', value: '' }), {
      case: 'listServicesResponse',
      value: {
        service: [
          { name: 'dapr.proto.runtime.v1.Dapr' },
          { name: 'grpc.reflection.v1.ServerReflection' },
          { name: 'grpc.reflection.v1alpha.ServerReflection' },
        ],
      },
    });
  });
}

t.test('a symbol comes with all it needs, and describes every method that is served', async (t) => {
  const ask = await open(t);
  const answer = await ask({ case: 'fileContainingSymbol', value: 'dapr.proto.runtime.v1.Dapr' });
  if (answer.case !== 'fileDescriptorResponse') throw new Error(`got ${answer.case}`);
  const file = answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(file) }));
  const methods = registry
    .getService('dapr.proto.runtime.v1.Dapr')
    ?.methods.map(({ name }) => name)
    .sort();
  t.same(
    methods,
    Object.values(OPERATIONS)
      .flatMap(({ grpc }) => grpc.map(({ method }) => method))
      .sort(),
  );
  const again = await ask({ case: 'fileContainingSymbol', value: 'dapr.proto.runtime.v1.GetStateRequest' });
  t.match(
    again,
    { case: 'fileDescriptorResponse', value: { fileDescriptorProto: { length: 0 } } },
    'a file is sent once per stream',
  );
});

t.test('methods and file names are found, other things are told', async (t) => {
  const ask = await open(t);
  t.match(await ask({ case: 'fileContainingSymbol', value: 'dapr.proto.runtime.v1.Dapr.ListJobs' }), {
    case: 'fileDescriptorResponse',
  });
  t.match(await ask({ case: 'fileByFilename', value: 'google/protobuf/any.proto' }), {
    case: 'fileDescriptorResponse',
  });
  t.match(await ask({ case: 'fileContainingSymbol', value: 'no.Such' }), {
    case: 'errorResponse',
    value: { errorCode: 5, errorMessage: 'proto: not found' },
  });
  t.match(await ask({ case: 'fileByFilename', value: 'no.proto' }), {
    case: 'errorResponse',
    value: { errorCode: 5 },
  });
  t.match(await ask({ case: 'allExtensionNumbersOfType', value: 'dapr.proto.runtime.v1.GetStateRequest' }), {
    case: 'allExtensionNumbersResponse',
  });
});
