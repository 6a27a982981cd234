import t from 'tap';
import {
  codeOfHttpStatus,
  codeOfReset,
  decodeGrpcMessage,
  encodeGrpcMessage,
  statusOfTrailers,
  trailersOfStatus,
} from '../../../../runtime/contracts/grpc-wire/status.ts';

t.test('messages are percent-encoded outside printable ASCII', async (t) => {
  for (const [plain, wire] of [
    ['abc ~', 'abc ~'],
    ['50%', '50%25'],
    ['a\nb', 'a%0Ab'],
    ['é', '%C3%A9'],
    ['😀', '%F0%9F%98%80'],
  ] as const) {
    t.equal(encodeGrpcMessage(plain), wire);
    t.equal(decodeGrpcMessage(wire), plain);
  }
});

t.test('a broken escape stays as it is', async (t) => {
  t.equal(decodeGrpcMessage('100% of %zz %4'), '100% of %zz %4');
});

t.test('trailers of a status and back', async (t) => {
  const status = { code: 5, message: 'nö', details: Buffer.from([1, 2, 3, 4]) };
  const trailers = trailersOfStatus(status);
  t.same(trailers, { 'grpc-status': '5', 'grpc-message': 'n%C3%B6', 'grpc-status-details-bin': 'AQIDBA' });
  t.same(statusOfTrailers(trailers), { ...status, details: Uint8Array.from([1, 2, 3, 4]) });
  t.same(trailersOfStatus({ code: 0, message: '' }), { 'grpc-status': '0' });
});

t.test('no status, and one that is no number', async (t) => {
  t.equal(statusOfTrailers({ 'x-a': '1' }), undefined);
  t.match(statusOfTrailers({ 'grpc-status': 'many' }), { code: 2 });
});

t.test('answers that are not gRPC', async (t) => {
  t.same(
    [400, 401, 403, 404, 429, 502, 503, 504, 500, 418].map(codeOfHttpStatus),
    [13, 16, 7, 12, 14, 14, 14, 14, 2, 2],
  );
  t.same([0, 1, 2, 7, 8, 11, 12].map(codeOfReset), [13, 13, 13, 14, 1, 8, 7]);
});

t.test('a text that no header block holds ends early, and details that long stay away', async (t) => {
  for (const message of ['x'.repeat(200_000), 'é€😀'.repeat(20_000), '%'.repeat(50_000)]) {
    const sent = String(trailersOfStatus({ code: 3, message })['grpc-message']);
    t.ok(sent.length <= 16 * 1024 && sent.length > 8 * 1024, `${sent.length} characters`);
    const read = decodeURIComponent(sent);
    t.ok(read.endsWith('...'));
    t.equal(read.slice(0, 1000), message.slice(0, 1000));
  }
  const trailers = trailersOfStatus({ code: 3, message: 'short', details: Buffer.alloc(30_000) });
  t.strictSame(Object.keys(trailers), ['grpc-status', 'grpc-message']);
});
