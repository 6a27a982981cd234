import t from 'tap';
import {
  decodeAnswerMessage,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
} from '../../../runtime/relay/sidecar-message.ts';

t.test('a request and an answer there and back', async (t) => {
  const body = Buffer.from('{"a":1}\n\n{"b":2}');
  const request = decodeRequest(
    encodeRequest(
      { method: 'POST', path: '/v1.0/state/s?x=%20', headers: { 'If-Match': '1', note: 'grün' } },
      body,
    ),
  );
  t.same({ ...request.headers }, { 'if-match': '1', note: 'grün' });
  t.same([request.method, request.path, String(request.body)], ['POST', '/v1.0/state/s?x=%20', String(body)]);
  const answer = decodeAnswerMessage(
    encodeAnswer({ status: 204, headers: { etag: '"7"' }, body: Buffer.alloc(0) }),
  );
  t.same([answer.status, answer.headers['etag'], answer.body.byteLength], [204, '"7"', 0]);
});

t.test('what would be another message is refused', async (t) => {
  t.throws(
    () => encodeRequest({ method: 'GET', path: '/x', headers: { a: 'b\nc: d' } }),
    /control character/,
  );
  t.throws(
    () => encodeRequest({ method: 'GET', path: '/x', headers: { a: 'b'.repeat(70_000) } }),
    /larger than/,
  );
  for (const text of [
    '',
    'GET /x\na: b',
    'GET  \n\n',
    'get /x\n\n',
    'CONNECT /x\n\n',
    'GET x\n\n',
    'GET /a b\n\n',
    'GET /x\r\n\n',
    'GET /x\nno colon\n\n',
    'GET /x\nA: upper\n\n',
    'GET /x\na: \x00\n\n',
    `GET /x${'\na: b'.repeat(200)}\n\n`,
    `GET /${'x'.repeat(70_000)}\n\n`,
  ])
    t.throws(() => decodeRequest(Buffer.from(text)), JSON.stringify(text.slice(0, 20)));
  for (const text of ['\n\n', '99\n\n', '200 OK\n\n', '1000\n\n'])
    t.throws(() => decodeAnswerMessage(Buffer.from(text)));
  t.equal(decodeRequest(Buffer.from('GET /x\n__proto__: a\n\n')).headers['toString'], undefined);
});
