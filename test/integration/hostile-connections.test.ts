// What nobody sends by mistake, on real sockets to the bundle: bodies that stop, connections that end midway, floods of
// HTTP/2 frames, upgrades to nothing, paths and links out of where they belong. Each costs its sender; the others notice nothing.

import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import { nodesDirectory, type RunningNode, startSidecar } from './support/node-process.ts';
import { END_HEADERS, END_STREAM, FRAME, frame, headerBlock, type RawH2, rawH2 } from './support/raw-h2.ts';
import { component } from './support/resource-files.ts';
import { until } from './support/until.ts';

/** Sends bytes and ends in the given way; resolves with what came back until the connection was closed. */
function exchange(port: number, bytes: string, end: 'wait' | 'fin' | 'reset' = 'wait'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    const limit = AbortSignal.timeout(30_000);
    limit.addEventListener('abort', () => {
      socket.destroy();
      reject(new Error(`still open after ${text}`));
    });
    socket.setEncoding('latin1').on('data', (part: string) => (text += part));
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.on('connect', () =>
      socket.write(bytes, 'latin1', () => {
        if (end === 'fin') socket.end();
        if (end === 'reset') socket.resetAndDestroy();
      }),
    );
  });
}

const status = (answer: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
const descriptors = (node: RunningNode): number => readdirSync(`/proc/${node.pid}/fd`).length;
const rssMb = (node: RunningNode): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/status`, 'utf8'))?.[1]) / 1024;

async function serves(t: Test, node: RunningNode, after: string): Promise<void> {
  t.equal((await call(`${node.base}/v1.0/healthz`)).status, 204, `healthy after ${after}`);
}

const start = (t: Test): Promise<RunningNode> =>
  startSidecar(t, {
    appId: 'hostile',
    resources: [component('store', 'state.in-memory')],
    args: ['--max-body-size=64Ki'],
  });

const POST = 'POST /v1.0/state/store HTTP/1.1\r\nHost: x\r\n';

t.test('bodies and connections that end before their time', async (t) => {
  const node = await start(t);
  const before = descriptors(node);
  const cut = await exchange(node.ports.http, `${POST}Content-Length: 50\r\n\r\n[{"key"`, 'fin');
  t.match(cut, /^(?:HTTP\/1\.1 400|$)/, 'a cut body');
  await exchange(node.ports.http, `${POST}Content-Length: 50\r\n\r\n[{"key"`, 'reset');
  await exchange(node.ports.http, `${POST}Transfer-Encoding: chunked\r\n\r\n20\r\n[{"k`, 'reset');
  await exchange(node.ports.http, 'GET /v1.0/healthz HTT', 'fin');
  const large = await exchange(
    node.ports.http,
    `${POST}Content-Length: 3000000\r\nConnection: close\r\n\r\n${'x'.repeat(2_500_000)}`,
  );
  t.equal(status(large), 400, 'an oversized body is refused, and the connection ends');
  t.equal(
    status(await exchange(node.ports.http, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)),
    431,
  );
  const endless = `GET / HTTP/1.1\r\nHost: x\r\n${'X: y\r\n'.repeat(5000)}`;
  t.equal(status(await exchange(node.ports.http, endless)), 431, 'headers without an end');
  const pipelined = await exchange(
    node.ports.http,
    `${'GET /v1.0/state/store/k HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(500)}GET /v1.0/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  );
  t.equal(pipelined.match(/HTTP\/1\.1 204/g)?.length, 501, 'pipelined requests are answered in order');
  const mixed = await exchange(
    node.ports.http,
    `GET /v1.0/metadata HTTP/1.1\r\nHost: x\r\n\r\nNONSENSE\r\n\r\n`,
  );
  t.equal(status(mixed), 200, 'what follows an answered request does not get in its way');
  const upgrade = `GET /v1.0/healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: !!!\r\n\r\n`;
  t.match(
    await exchange(node.ports.http, upgrade + 'garbage'.repeat(20)),
    /^HTTP\/1\.1 101/,
    'an upgrade to garbage',
  );
  await until('no descriptor is left', () => descriptors(node) <= before);
  await serves(t, node, 'all of it');
  t.equal((await node.stop()).code, 0);
});

const FIELDS = {
  http: { ':method': 'GET', ':scheme': 'http', ':path': '/v1.0/metadata', ':authority': 'x' },
  grpc: {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': '/dapr.proto.runtime.v1.Dapr/GetMetadata',
    ':authority': 'x',
    'content-type': 'application/grpc',
    te: 'trailers',
  },
} as const;

/** Sends what `make` gives, in batches, until `count` or until the peer has had enough. */
async function flood(session: RawH2, count: number, make: (index: number) => Uint8Array): Promise<void> {
  for (let index = 0; index < count && !session.socket.destroyed; index += 1) {
    session.send(make(index));
    if (index % 500 === 499) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.race([session.closed, pause(300)]);
  session.socket.destroy();
}

t.test('floods of HTTP/2 frames', async (t) => {
  const node = await start(t);
  const before = { rss: rssMb(node), descriptors: descriptors(node) };
  for (const kind of ['http', 'grpc'] as const) {
    const port = node.ports[kind];
    const block = headerBlock(FIELDS[kind]);
    const open = (): Promise<RawH2> => rawH2(port);
    await flood(await open(), 10_000, (index) =>
      Buffer.concat([
        frame(FRAME.headers, END_HEADERS | END_STREAM, index * 2 + 1, block),
        frame(FRAME.reset, 0, index * 2 + 1, Buffer.from([0, 0, 0, 8])),
      ]),
    );
    await serves(t, node, `${kind}: rapid resets`);
    await flood(await open(), 20_000, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)));
    await serves(t, node, `${kind}: pings`);
    await flood(await open(), 20_000, () => frame(FRAME.settings, 0, 0, Buffer.from([0, 3, 0, 0, 0, 100])));
    await serves(t, node, `${kind}: settings`);
    await flood(await open(), 5000, (index) =>
      frame(FRAME.headers, END_HEADERS, index * 2 + 1, headerBlock({ ...FIELDS[kind], ':method': 'POST' })),
    );
    await serves(t, node, `${kind}: streams whose bodies never come`);
    const endless = await open();
    endless.send(frame(FRAME.headers, 0, 1, block));
    await flood(endless, 5000, (index) =>
      frame(FRAME.continuation, 0, 1, headerBlock({ [`x${index}`]: 'y'.repeat(100) })),
    );
    await serves(t, node, `${kind}: a head without an end`);
    for (const bytes of [
      frame(99, 0, 0, Buffer.alloc(5)),
      frame(FRAME.data, 0, 0, Buffer.alloc(5)),
      frame(FRAME.headers, END_HEADERS, 2, block),
      frame(FRAME.headers, END_HEADERS, 1, Buffer.alloc(300, 0xff)),
      frame(FRAME.windowUpdate, 0, 0, Buffer.from([0x7f, 255, 255, 255])),
      frame(FRAME.ping, 0, 0, Buffer.alloc(3)),
      frame(FRAME.data, 0, 1, Buffer.alloc(0), 16_777_215),
    ]) {
      const session = await open();
      await flood(session, 1, () => bytes);
    }
    await serves(t, node, `${kind}: frames that are none`);
  }
  await until('no descriptor is left', () => descriptors(node) <= before.descriptors + 2);
  const growth = Math.round(rssMb(node) - before.rss);
  t.ok(growth < 250, `grew by ${growth} MB`);
  t.equal((await node.stop()).code, 0);
});

t.test('paths and links that lead out', async (t) => {
  const folder = join(nodesDirectory(t), 'root');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(nodesDirectory(t), 'secret.txt'), 'secret');
  symlinkSync('../secret.txt', join(folder, 'link.txt'));
  symlinkSync('..', join(folder, 'up'));
  const node = await startSidecar(t, {
    appId: 'confined',
    resources: [component('files', 'bindings.localstorage', { rootPath: folder })],
  });
  const ask = (operation: string, fileName: string): Promise<{ status: number; text: string }> =>
    call(`${node.base}/v1.0/bindings/files`, { body: { operation, metadata: { fileName }, data: 'x' } });
  for (const name of [
    '../secret.txt',
    'link.txt',
    'up/secret.txt',
    '/etc/passwd',
    'a/../../secret.txt',
    '..%2fsecret.txt',
    'a\u0000b',
  ]) {
    for (const operation of ['get', 'create', 'delete']) {
      const answer = await ask(operation, name);
      t.notMatch(answer.text, /^"?secret|root:/, `${operation} ${JSON.stringify(name)}: ${answer.status}`);
    }
  }
  t.equal(readFileSync(join(nodesDirectory(t), 'secret.txt'), 'utf8'), 'secret', 'untouched');
  const app: string[] = [];
  for (const path of [
    '/v1.0/invoke/../../../etc/passwd',
    '/v1.0/invoke/confined/method/../../../v1.0/metadata',
    '/v1.0/invoke/confined%2f..%2f/method/x',
    '/v1.0/invoke//method//x',
  ]) {
    const answer = await exchange(
      node.ports.http,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    app.push(`${status(answer)}`);
    t.notMatch(answer, /root:/, path);
  }
  t.ok(
    app.every((code) => /^[2345]\d\d$/.test(code)),
    app.join(' '),
  );
  t.equal((await node.stop()).code, 0);
});
