import t from 'tap';
import { bytesBody } from '../../../runtime/contracts/body.ts';
import { fromWireResponse } from '../../../runtime/peer/wire-response.ts';

function answer(code: number, contentType: string, header = 'application/grpc'): string | undefined {
  return fromWireResponse(
    {
      status: { code, message: '', details: [] },
      headers: { 'content-type': { values: [header] }, 'x-own': { values: ['1'] } },
      trailers: {},
      message: { contentType, data: { typeUrl: '', value: new Uint8Array(0) } },
    },
    bytesBody(new Uint8Array(0)),
  ).contentType;
}

t.test('content type: what the message says, else the header of an HTTP app', (t) => {
  t.equal(answer(200, 'text/x'), 'text/x');
  t.equal(answer(200, ''), 'application/grpc');
  t.equal(answer(0, 'text/x'), 'text/x');
  t.equal(answer(0, ''), undefined, "the content type of a gRPC app's call is not that of its answer");
  t.equal(answer(0, '', 'text/event-stream'), 'text/event-stream', 'events are told with a code, too');
  t.end();
});
