import t from 'tap';
import {
  binaryOfTraceparent,
  metadataOfTrace,
  traceOfMetadata,
  traceparentOfBinary,
} from '../../../runtime/grpc-client/trace-metadata.ts';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const BINARY = '00000af7651916cd43dd8448eb211c80319c01b7ad6b71692033310201';

t.test('the binary form and back', async (t) => {
  const binary = binaryOfTraceparent(TRACEPARENT);
  t.equal(Buffer.from(binary ?? []).toString('hex'), BINARY);
  t.equal(traceparentOfBinary(binary ?? new Uint8Array(0)), TRACEPARENT);
  t.equal(binaryOfTraceparent('nonsense'), undefined);
  t.equal(traceparentOfBinary(Buffer.from(BINARY, 'hex').subarray(1)), undefined);
});

t.test('incoming: binary first, then text; baggage is joined', async (t) => {
  const other = '00-11111111111111111111111111111111-2222222222222222-00';
  t.same(
    traceOfMetadata([
      ['traceparent', other],
      ['grpc-trace-bin', Buffer.from(BINARY, 'hex').toString('base64')],
      ['tracestate', 'a=1'],
      ['baggage', 'x=1'],
      ['baggage', 'y=2'],
    ]),
    { traceparent: TRACEPARENT, tracestate: 'a=1', baggage: 'x=1,y=2' },
  );
  t.same(
    traceOfMetadata([
      ['traceparent', other],
      ['grpc-trace-bin', 'AAAA'],
    ]),
    { traceparent: other },
  );
  t.same(traceOfMetadata([['x', 'y']]), {});
});

t.test('outgoing', async (t) => {
  t.same(metadataOfTrace({ traceparent: TRACEPARENT, tracestate: 'a=1', baggage: '' }), [
    ['grpc-trace-bin', Buffer.from(BINARY, 'hex').toString('base64').replace(/=+$/, '')],
    ['traceparent', TRACEPARENT],
    ['tracestate', 'a=1'],
  ]);
  t.same(metadataOfTrace({}), []);
});
