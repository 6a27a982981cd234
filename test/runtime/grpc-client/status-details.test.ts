import { fromBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import { encodeStatusDetails } from '../../../runtime/grpc/error-details.ts';
import { statusDetails } from '../../../runtime/grpc-client/status-details.ts';

t.test('details are handed on as they are', async (t) => {
  const encoded = encodeStatusDetails(5, 'not here', [
    { kind: 'ResourceInfo', type: 'state', name: 'store' },
    { kind: 'ErrorInfo', reason: 'WHY', metadata: { k: 'v' } },
  ]);
  const urls = statusDetails(encoded).map((detail) => fromBinary(AnySchema, detail).typeUrl);
  t.same(urls, ['type.googleapis.com/google.rpc.ResourceInfo', 'type.googleapis.com/google.rpc.ErrorInfo']);
});

t.test('a status without details, or that is none, has none', async (t) => {
  t.same(statusDetails(undefined), []);
  t.same(statusDetails(encodeStatusDetails(5, 'not here', [])), []);
  t.same(statusDetails(Buffer.from([0x1a, 0x7f, 0x01])), []);
});
