/**
 * The relay's port as anybody may use it: bytes that are no TLS, handshakes without a certificate or with a forged one, HTTP
 * of any shape, enrolments with tokens and requests that are damaged, stolen or used.
 */

import { generateKeyPairSync } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createEnrolling } from '../../../runtime/relay/enrolling.ts';
import { LINK_ALPN } from '../../../runtime/relay/protocol.ts';
import { createRoot, openAuthority } from '../../../runtime/security/authority.ts';
import { certificateRequest } from '../../../runtime/security/csr.ts';
import { createAuthority, type Issued } from '../../support/certificate-authority.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import type { Draw } from '../support/draw.ts';
import { openRelayRig, type RelayRig } from '../support/relay-rig.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const CHECK_EVERY = 250;
const CLOSE_LIMIT_MS = 4000;
const STAY_MS = 100;
const YEAR_MS = 365 * 86_400_000;

const request = certificateRequest(generateKeyPairSync('ed25519').privateKey);

function enrolmentBody(draw: Draw, token: string): unknown {
  if (draw.chance(0.1)) return draw.json();
  return {
    token: draw.pick([
      token,
      token.split('.')[0],
      `${draw.text(100)}.${token.split('.')[1]}`,
      draw.text(600),
      draw.json(1),
    ]),
    node: draw.pick([draw.word(), 'healthy', 'hostile-0', draw.text(200), draw.json(1)]),
    request: draw.pick([
      request,
      damagedRequest(draw),
      draw.text(9000),
      `-----BEGIN CERTIFICATE REQUEST-----\n${draw.bytes(draw.size(300)).toString('base64')}\n-----END CERTIFICATE REQUEST-----`,
    ]),
  };
}

/** A request whose DER is damaged, in good PEM. */
function damagedRequest(draw: Draw): string {
  const lines = request.trim().split('\n');
  const body = draw.mutate(Buffer.from(lines.slice(1, -1).join(''), 'base64'));
  return [lines[0], body.toString('base64'), lines.at(-1)].join('\n');
}

function httpBytes(draw: Draw, token: string): Buffer {
  const body = draw.chance(0.02) ? 'x'.repeat(40_000) : draw.jsonText(enrolmentBody(draw, token));
  const path = draw.chance(0.8) ? '/v1/enroll' : `/${encodeURIComponent(draw.text(200).toWellFormed())}`;
  const length = draw.chance(0.9) ? Buffer.byteLength(body) : draw.pick([0, -1, 5, 1e9, 'x']);
  const more = draw.list(4, () => `${draw.word()}: ${draw.text(3000)}\r\n`).join('');
  const framing = draw.chance(0.9) ? `content-length: ${length}` : 'transfer-encoding: chunked';
  const text = Buffer.from(
    `${draw.pick(['POST', 'POST', 'GET', draw.word()])} ${path} HTTP/1.1\r\nhost: x\r\n${framing}\r\n${more}\r\n${body}`,
  );
  return draw.chance(0.8) ? text : draw.mutate(text);
}

/** A ClientHello's first bytes, another protocol's, or anything. */
function plainBytes(draw: Draw): Buffer {
  const starts = [
    '',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    '\x16\x03\x01\x00\xf0\x01',
    '\x15\x03\x01\x00\x02\x02\x28',
    'SSH-2.0-x\r\n',
  ];
  return Buffer.concat([Buffer.from(draw.pick(starts), 'latin1'), draw.bytes(draw.size(2000))]);
}

function knock(draw: Draw, port: number, token: string, forged: Issued): Promise<void> {
  const kind = draw.int(0, 9);
  const [socket, bytes]: readonly [Socket, Buffer] =
    kind < 2
      ? [connectTcp(port, '127.0.0.1'), plainBytes(draw)]
      : [
          connectTls({
            host: '127.0.0.1',
            port,
            rejectUnauthorized: false,
            ...(draw.chance(0.95) ? { ALPNProtocols: [kind < 6 ? LINK_ALPN : 'http/1.1'] } : {}),
            ...(kind < 5 && draw.chance(0.5) ? { cert: forged.chain, key: forged.key } : {}),
          }),
          kind < 6 ? plainBytes(draw) : httpBytes(draw, token),
        ];
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      socket.destroy();
      reject(new Error('the connection is still open'));
    }, CLOSE_LIMIT_MS);
    let stay: NodeJS.Timeout | undefined;
    socket.on('error', () => {});
    socket.resume();
    socket.on('close', () => {
      clearTimeout(limit);
      clearTimeout(stay);
      resolve();
    });
    socket.once(kind < 2 ? 'connect' : 'secureConnect', () => {
      if (draw.chance(0.1)) return void socket.destroy();
      socket.write(bytes);
      if (draw.chance(0.7)) socket.end();
      stay = setTimeout(() => socket.destroy(), STAY_MS);
    });
  });
}

/** What is posted, without the port and its bound on refusals. */
async function enrolments(): Promise<(draw: Draw) => Promise<void>> {
  const clock = fakeClock();
  const random = seededRandom(3);
  const root = createRoot('fuzz', { fromMs: 0, toMs: clock.now() + YEAR_MS }, random);
  const enrolling = createEnrolling({
    registry: {
      addToken: async () => undefined,
      enrol: async (hash, { name, keyHash }) =>
        hash.startsWith('0')
          ? { ok: true, node: { name, keyHash, appIds: ['a'], enrolledAt: 0 } }
          : { ok: false, reason: 'the token is not known here' },
      node: async () => undefined,
      nodes: async () => [],
      revoke: async () => false,
      linkEnded: async () => undefined,
    },
    authority: openAuthority(root.certificate, root.key, random),
    trustDomain: 'public',
    certificateTtlMs: 86_400_000,
    clock,
    random,
    log: recordingLogger(),
  });
  return async (draw) => {
    await clock.advance(11_000);
    const { status, answer } = await enrolling.enrol(enrolmentBody(draw, `${draw.word()}.x`));
    ensure([200, 400, 403].includes(status), () => `answered ${status} ${JSON.stringify(answer)}`);
  };
}

async function openTarget(): Promise<Fuzzing> {
  const rig: RelayRig = await openRelayRig();
  const token = await rig.token(['stranger']);
  const forged = createAuthority().issue({
    commonName: 'healthy',
    uris: ['spiffe://public/skerry/node/healthy'],
    from: 0,
    to: 10_000_000_000_000,
  });
  const enrol = await enrolments();
  let count = 0;
  return {
    one: async (draw) => {
      count += 1;
      const number = count;
      if (draw.chance(0.2)) await enrol(draw);
      else await knock(draw, rig.port, token, forged);
      if (number % CHECK_EVERY === 0) await rig.check();
    },
    settle: rig.settle,
    close: rig.close,
  };
}

export const relayStrangers: FuzzTarget = {
  name: 'relay-strangers',
  inputs: 500,
  concurrency: 8,
  heapMb: 32,
  open: openTarget,
};
