/** Requests that are refused before anything is done for them, and bodies that stand still. */

import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import t from 'tap';
import { fakeClock } from '../../support/fake-clock.ts';
import { fakeBlocks, serve } from './fake-api.ts';

const MAX_IN_FLIGHT = 100;
const HEAD = 'POST /v1.0/state/s HTTP/1.1\r\nHost: x\r\n';
/** Read whole before anything else. */
const PUT = 'PUT /v1.0/metadata/k HTTP/1.1\r\nHost: x\r\n';
const BODY_AND_NEXT = '2\r\n[]\r\n0\r\n\r\nGET /v1.0/healthz HTTP/1.1\r\nHost: x\r\n\r\n';

t.test('what two readers could understand in two ways is refused, and the connection ends', async (t) => {
  const api = await serve(t, fakeBlocks());
  const cases: readonly (readonly [name: string, bytes: string, status: number])[] = [
    ['both lengths', `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n${BODY_AND_NEXT}`, 400],
    ['two lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]`, 400],
    ['the same length twice', `${HEAD}Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]`, 400],
    ['a length with a sign', `${HEAD}Content-Length: +2\r\n\r\n[]`, 400],
    ['a space before the colon', `${HEAD}Transfer-Encoding : chunked\r\n\r\n${BODY_AND_NEXT}`, 400],
    ['an unknown coding', `${HEAD}Transfer-Encoding: xchunked\r\n\r\n${BODY_AND_NEXT}`, 501],
    ['a coding before chunked', `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n${BODY_AND_NEXT}`, 501],
    [
      'chunked twice',
      `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${BODY_AND_NEXT}`,
      400,
    ],
    ['two hosts', `${HEAD}Host: y\r\nContent-Length: 2\r\n\r\n[]`, 400],
    ['a folded header', `${HEAD}X: a\r\n b\r\nContent-Length: 2\r\n\r\n[]`, 400],
    ['lines without CR', 'GET /v1.0/healthz HTTP/1.1\nHost: x\n\n', 400],
    ['no version', 'GET /v1.0/healthz\r\n\r\n', 400],
    ['a chunk of impossible size', `${HEAD}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n[]`, 400],
  ];
  for (const [name, bytes, status] of cases) {
    const answer = await api.raw(bytes);
    t.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]), status, `${name}: ${status}`);
    t.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1, `${name}: one answer`);
  }
});

t.test('a body that stands still ends its connection, one that trickles does not', async (t) => {
  const clock = fakeClock();
  const api = await serve(t, fakeBlocks(), { clock });
  const still = api.raw(`${PUT}Content-Length: 100\r\n\r\n[`);
  const session = connectHttp2(`http://127.0.0.1:${api.server.port}`);
  t.teardown(() => session.destroy());
  const stream = session.request({ ':method': 'PUT', ':path': '/v1.0/metadata/k' });
  stream.write('[');
  stream.on('error', () => {});
  const streamClosed = new Promise((resolve) => stream.on('close', resolve));
  const socket = connect(api.server.port, '127.0.0.1');
  const trickleClosed = new Promise((resolve) => socket.on('close', resolve));
  socket.write(`${PUT}Content-Length: 100\r\n\r\n[`);
  const settle = async (): Promise<void> => {
    await api.call({ path: '/v1.0/healthz' });
    await new Promise((resolve) => setImmediate(resolve));
  };
  await settle();
  for (let round = 0; round < 3; round += 1) {
    socket.write(' ');
    await settle();
    await clock.advance(30_000);
  }
  t.equal(await still, '', 'no answer to nobody');
  await streamClosed;
  t.notOk(socket.destroyed, 'the trickling one goes on');
  await clock.advance(30_000);
  await clock.advance(30_000);
  await trickleClosed;
});

t.test('calls beyond the bound are refused and cost nothing', async (t) => {
  const released = Promise.withResolvers<undefined>();
  const full = Promise.withResolvers<void>();
  let calls = 0;
  const get = (): Promise<undefined> => {
    calls += 1;
    if (calls === MAX_IN_FLIGHT) full.resolve();
    return released.promise;
  };
  const api = await serve(t, fakeBlocks({ state: { get } }), {
    limits: { maxBodyBytes: 1024, readBufferBytes: 4096, maxInFlight: MAX_IN_FLIGHT },
  });
  // One connection, requests one after the other: every one of them is in progress at once.
  const socket = connect(api.server.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  let answers = 0;
  const answered = Promise.withResolvers<void>();
  socket.setEncoding('latin1').on('data', (part: string) => {
    answers += part.split('HTTP/1.1 204').length - 1;
    if (answers === MAX_IN_FLIGHT) answered.resolve();
  });
  socket.write('GET /v1.0/state/s/k HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(MAX_IN_FLIGHT));
  await full.promise;
  const refused = await api.call({ path: '/v1.0/state/s/k' });
  t.equal(refused.status, 429);
  t.strictSame(refused.json, {
    errorCode: 'ERR_OVERLOADED',
    message: 'the list of calls in progress is full; try again later',
  });
  released.resolve(undefined);
  await answered.promise;
  t.equal((await api.call({ path: '/v1.0/healthz' })).status, 204, 'served again');
  t.equal(calls, MAX_IN_FLIGHT);
});

const DEEP = `${'{"a":'.repeat(20_000)}"\\udc00"${'}'.repeat(20_000)}`;

t.test('endpoints without a body of their own refuse one that is no message', async (t) => {
  const api = await serve(t, fakeBlocks());
  const send = async (body: string | Uint8Array): Promise<number> =>
    (await api.call({ method: 'GET', path: '/v1.0/metadata', body })).status;
  t.equal(await send('{}'), 200);
  t.equal(await send('{"unknown":[1]}'), 200);
  for (const body of [
    'null',
    '[]',
    '"a"',
    '{"a":',
    '{"a":"\\ud800"}',
    '{"\\udc00":1}',
    Buffer.from([0x7b, 0xff, 0x7d]),
    DEEP,
  ])
    t.equal(await send(body), 400, String(body).slice(0, 20));
});
