import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { bytesBody, EMPTY_BODY, readBody, streamBody } from '../../../runtime/contracts/body.ts';
import { createH2cTransport } from '../../../runtime/http-client/h2c-transport.ts';

const { signal } = new AbortController();

interface Test {
  teardown(run: () => unknown): void;
}

/** A transport to a server that answers with verb, length and body of the request, or as the path says. */
async function setUp(t: Test, odd: Record<string, (stream: ServerHttp2Stream) => void> = {}) {
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    const act = odd[String(headers[':path'])];
    if (act !== undefined) return act(stream);
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'x-length': headers['content-length'] ?? 'none' });
      stream.end(`${headers[':method']} ${Buffer.concat(parts).toString()}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const transport = createH2cTransport({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  t.teardown(() => {
    transport.close();
    for (const session of sessions) session.destroy();
    server.close();
  });
  return transport;
}

t.test('every verb, with a body and without', async (t) => {
  const transport = await setUp(t);
  const say = async (verb: string, body = EMPTY_BODY): Promise<string> => {
    const answer = await transport.send({ verb, path: '/', headers: [], body }, signal);
    const length = answer.headers[answer.headers.indexOf('x-length') + 1];
    return `${Buffer.from(await readBody(answer.body)).toString()}|${length}`;
  };
  const x = bytesBody(Buffer.from('x'));
  t.equal(await say('GET'), 'GET |none');
  t.equal(await say('GET', x), 'GET x|1');
  t.equal(await say('DELETE'), 'DELETE |none');
  t.equal(await say('DELETE', x), 'DELETE x|1');
  t.equal(await say('POST'), 'POST |0');
  t.equal(await say('POST', x), 'POST x|1');
  t.equal(await say('PUT', streamBody([Buffer.from('a'), Buffer.from('b')] as never)), 'PUT ab|none');
  t.equal(await say('HEAD'), '|none', 'an answer without a body');
});

t.test('a stream that the app resets says so', async (t) => {
  const transport = await setUp(t, {
    '/internal': (stream) => stream.close(2),
    '/refused': (stream) => stream.close(7),
  });
  const post = (path: string) =>
    transport.send({ verb: 'POST', path, headers: [], body: bytesBody(Buffer.from('x')) }, signal);
  await t.rejects(post('/internal'), {
    message: /^stream error: stream ID 1; INTERNAL_ERROR; received from peer$/,
  });
  await t.rejects(post('/refused'), { message: /^stream error: stream ID 3; REFUSED_STREAM; received/ });
});
