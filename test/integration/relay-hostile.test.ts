// A relay's port in a bad neighbourhood: noise, strangers, forged certificates, an enrolled node that lies and floods. Whatever
// comes is refused, the relay lives, and the links of others stand. INPUTS=100000 runs as long as the promise says.

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import t from 'tap';
import { GrpcCode } from '../../runtime/contracts/grpc-code.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { type EdgeSession, openEdgeSession } from '../../runtime/relay/edge-session.ts';
import { enrolNode } from '../../runtime/relay/enroll-client.ts';
import { LINK_ALPN, type NodeMessage } from '../../runtime/relay/protocol.ts';
import { startReverseCall } from '../../runtime/relay/reverse-call.ts';
import { createAuthority } from '../support/certificate-authority.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { call } from './support/http-call.ts';
import { startSidecar } from './support/node-process.ts';
import { aloneConfiguration, enrolledFolder, startRelay, startWire } from './support/relay-process.ts';
import { startApp } from './support/scripted-app.ts';
import { says, until } from './support/until.ts';

const INPUTS = Number(process.env['INPUTS'] ?? '300');
const AT_ONCE = 16;
const tag = String(process.pid);
const LOOPBACK = '--dapr-internal-grpc-listen-address=127.0.0.1';

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

t.setTimeout(60_000 + INPUTS * 20);
t.test('noise, strangers and a node that lies', async (t) => {
  t.setTimeout(50_000 + INPUTS * 20);
  const random = seededRandom(11);
  const relay = await startRelay(t, { args: ['--internal-address=127.0.0.1'] });
  const app = await startApp(t, { '/x': () => ({ body: 'door' }) });
  const door = `door-${tag}`;
  const wire = await startWire(t, relay.port);
  const dataDir = await enrolledFolder(t, relay, door, [door], wire.url);
  const node = await startSidecar(t, {
    appId: door,
    appPort: app.port,
    dataDir,
    args: [LOOPBACK, aloneConfiguration(t, door), '--relay-probe-interval=500ms', '--relay-probe-timeout=2s'],
  });
  const cloud = await startSidecar(t, { appId: `asker-${tag}`, args: [LOOPBACK] });
  const ask = () => call(`${cloud.base}/v1.0/invoke/${door}/method/x`);
  await until('the link', async () => (await ask()).text === 'door');
  const linkedSince = (await relay.nodes())[0]?.since;

  await t.test('an idle link says next to nothing', async (t) => {
    const before = wire.bytes;
    const begun = systemClock().monotonicMs();
    await systemClock().sleep(3000);
    const periods = (systemClock().monotonicMs() - begun) / 500;
    const bytes = wire.bytes - before;
    t.ok(bytes >= 36, 'beats go out');
    t.ok(bytes <= (periods + periods / 3 + 2) * 36, `${bytes} bytes in ${periods.toFixed(1)} periods`);
  });

  const secure = (options: object = {}): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({
        host: '127.0.0.1',
        port: relay.port,
        rejectUnauthorized: false,
        ...options,
      });
      socket.on('error', reject);
      socket.once('secureConnect', () => {
        socket.off('error', reject);
        socket.on('error', () => {});
        resolve(socket);
      });
    });
  const noise = (): Buffer => {
    const bytes = Buffer.from(random.bytes(1 + Math.floor(random.float() * 400)));
    const starts = [
      '',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'POST /v1/enroll HTTP/1.1\r\ncontent-length: 9\r\n\r\n',
      'GET / HTTP/1.1\r\n\r\n',
      '\x16\x03\x01\x00\xf0\x01',
    ];
    return Buffer.concat([
      Buffer.from(starts[Math.floor(random.float() * starts.length)] ?? '', 'latin1'),
      bytes,
    ]);
  };

  await t.test(`${INPUTS} inputs of strangers`, async (t) => {
    let left = INPUTS;
    const one = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const kind = left % 3;
        const socket =
          kind === 0
            ? connectTcp(relay.port, '127.0.0.1')
            : await secure({ ALPNProtocols: [kind === 1 ? LINK_ALPN : 'http/1.1'] }).catch(() => undefined);
        if (socket === undefined) continue;
        socket.on('error', () => {});
        socket.resume();
        socket.write(noise());
        const over = closed(socket);
        socket.end();
        const limit = systemClock().startTimer(500, () => socket.destroy(), true);
        await over;
        limit.cancel();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
    t.equal((await ask()).text, 'door');
    // Refusals are logged once a second.
    await until('the refusal', async () => {
      const socket = await secure({ ALPNProtocols: [LINK_ALPN] }).catch(() => undefined);
      socket?.resume();
      if (socket !== undefined) await closed(socket);
      return /refused a connection.*a link needs the certificate of an enrolled node/.test(relay.output());
    });
  });

  await t.test('a certificate of somebody else', async (t) => {
    const forged = createAuthority().issue({
      commonName: door,
      uris: [`spiffe://public/skerry/node/${door}`],
      from: 0,
      to: 1_000_000_000_000,
    });
    // Refusals are logged once a second.
    await until('the refusal', async () => {
      const socket = await secure({
        ALPNProtocols: [LINK_ALPN],
        cert: forged.chain,
        key: forged.key,
      }).catch(() => undefined);
      socket?.resume();
      if (socket !== undefined) await closed(socket);
      return /certificate is not (of this relay|trusted)/.test(relay.output());
    });
    t.equal((await ask()).text, 'door', 'the true one is not displaced');
  });

  await t.test('an enrolled node', async (t) => {
    const liar = `liar-${tag}`;
    const enrolment = await enrolNode({ relay: relay.url, token: await relay.token([liar]), node: liar });
    const open = (): Promise<EdgeSession & { readonly over: Promise<string> }> =>
      new Promise((resolve) => {
        let closed: (reason: string) => void = () => {};
        const over = new Promise<string>((done) => {
          closed = done;
        });
        const session = openEdgeSession({
          enrolment,
          clock: systemClock(),
          log: recordingLogger(),
          probeMs: 10_000,
          probeTimeoutMs: 5000,
          app: () => undefined,
          opened: (opened) =>
            opened.send({
              type: 'hello',
              apps: [liar, door],
              namespace: 'default',
              probeMs: 10_000,
              version: 't',
            }),
          received: (message) => {
            if (message.type === 'welcome') resolve(Object.assign(session, { over }));
          },
          closed: (reason) => closed(reason),
        });
        t.teardown(() => session.close('the test is over'));
      });
    const session = await open();
    const asWho = async (caller: string): Promise<number> => {
      const stream = await session.take(undefined);
      const started = startReverseCall(
        stream,
        { path: '/test.Echo/Say', caller, callee: door, namespace: 'default' },
        { clock: systemClock(), maxMessageBytes: 1024, metadata: [['dapr-caller-app-id', door]] },
      );
      started.end(Buffer.from('x'));
      return await started.next().then(
        () => GrpcCode.OK,
        (error: { code: number }) => error.code,
      );
    };
    t.equal(await asWho(door), GrpcCode.PermissionDenied, 'in the name of another node');
    t.equal(await asWho(`asker-${tag}`), GrpcCode.PermissionDenied, 'in the name of an app of the cloud');
    t.not(await asWho(liar), GrpcCode.PermissionDenied, 'in its own name');
    await says(t, relay, /called in the name of an app that is not its own/);
    t.equal((await ask()).text, 'door', 'what it announced falsely is not taken over');

    for (let n = 0; n < 3000; n += 1) session.send({ type: 'find', n, appId: liar, namespace: 'default' });
    t.match(await session.over, /floods|closed/);
    const again = await open();
    again.send({ type: 'nonsense' } as unknown as NodeMessage);
    t.match(await again.over, /malformed control message|closed/);
    t.equal((await ask()).text, 'door');
  });

  const after = (await relay.nodes()).find((line) => line.node === door);
  if (after?.since !== linkedSince) {
    const told = `${node.output()}\n${relay.output()}`.split('\n').filter((line) => /relay link/.test(line));
    t.comment(told.filter((line) => line.includes(door)).join('\n'));
  }
  t.same([after?.state, after?.since], ['up', linkedSince], 'the link of the other node stood all the time');
});
