/** The embedded broker: packets of every type, malformed, out of order, from clients that take over one another. */

import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import type { BrokerOptions } from '../../../edge-components/broker/options.ts';
import { startRig } from '../../edge-components/broker/broker-rig.ts';
import { createAuthority } from '../../support/certificate-authority.ts';
import type { Draw } from '../support/draw.ts';
import { checkServerBytes, mqttBytes } from '../support/mqtt-bytes.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

/** A connection whose client has gone is closed within this time. */
const CLOSE_LIMIT_MS = 4000;
const CHECK_EVERY = 250;

/** How a hostile client of one listener is connected; what the broker sends goes to `heard`, its end to `closed`. */
interface Way {
  readonly name: string;
  readonly scheme: string;
  readonly inputs: number;
  readonly options: () => Pick<BrokerOptions, 'ws' | 'tls' | 'wss'>;
  /** Sends the bytes, more or less in pieces, and the end. The result ends the connection at once. */
  readonly talk: (
    port: number,
    draw: Draw,
    bytes: Buffer,
    heard: (part: Buffer) => void,
    closed: () => void,
  ) => () => void;
}

/** Resolves with what came back once the connection is closed. */
function converse(way: Way, port: number, draw: Draw, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const limit = setTimeout(() => {
      destroy();
      reject(new Error(`the connection is still open: ${bytes.toString('hex').slice(0, 600)}`));
    }, CLOSE_LIMIT_MS);
    const destroy = way.talk(
      port,
      draw,
      bytes,
      (part) => parts.push(part),
      () => {
        clearTimeout(limit);
        resolve(Buffer.concat(parts));
      },
    );
  });
}

/** The bytes over a socket: in two pieces, and then the end or a reset. */
function overSocket(make: (port: number) => Socket): Way['talk'] {
  return (port, draw, bytes, heard, closed) => {
    const socket = make(port);
    // One that never looks at what it is told.
    if (draw.chance(0.05)) socket.pause();
    else socket.on('data', heard);
    socket.on('error', () => {});
    socket.on('close', closed);
    socket.on(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
      const cut = draw.chance(0.3) ? draw.int(0, bytes.length) : bytes.length;
      socket.write(bytes.subarray(0, cut));
      setImmediate(() => {
        if (draw.chance(0.1)) socket.destroy();
        else socket.end(bytes.subarray(cut));
        if (socket.isPaused()) setTimeout(() => socket.destroy(), draw.int(0, 200));
      });
    });
    return () => socket.destroy();
  };
}

const HANDSHAKE =
  'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Protocol: mqtt\r\n\r\n';

/** The bytes in WebSocket frames of any kind and size, in an orderly handshake; or as what they are behind one. */
function overWebSocket(scheme: 'ws' | 'wss', make: (port: number) => Socket): Way['talk'] {
  return (port, draw, bytes, heard, closed) => {
    if (draw.chance(0.2)) {
      const raw = overSocket((at) => {
        const socket = make(at);
        socket.write(HANDSHAKE);
        return socket;
      });
      return raw(port, draw, bytes, () => {}, closed);
    }
    const socket = new WebSocket(`${scheme}://127.0.0.1:${port}`, 'mqtt', { rejectUnauthorized: false });
    socket.on('message', (data: Buffer) => heard(data));
    socket.on('error', () => {});
    socket.on('close', closed);
    socket.on('open', () => {
      for (let at = 0; at < bytes.length; ) {
        const size = draw.int(1, Math.min(bytes.length - at, 5000));
        const fin = draw.chance(0.9) || at + size >= bytes.length;
        if (draw.chance(0.05)) socket.ping(bytes.subarray(at, at + 20));
        socket.send(bytes.subarray(at, at + size), { binary: !draw.chance(0.02), fin });
        at += size;
      }
      if (draw.chance(0.2)) socket.terminate();
      else socket.close();
    });
    return () => socket.terminate();
  };
}

const plainly = (port: number): Socket => connect(port, '127.0.0.1');
const secretly = (port: number): Socket => connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });

const LOCAL = { host: '127.0.0.1', port: 0 };
const TCP: Way = {
  name: 'mqtt',
  scheme: 'mqtt:',
  inputs: 5000,
  options: () => ({}),
  talk: overSocket(plainly),
};
const WS: Way = {
  name: 'mqtt-ws',
  scheme: 'ws:',
  inputs: 500,
  options: () => ({ ws: LOCAL }),
  talk: overWebSocket('ws', plainly),
};
/** Listens with a certificate of its own. */
function withCertificate(): NonNullable<BrokerOptions['tls']> {
  const { chain, key } = createAuthority().issue({ dns: ['localhost'] });
  return { ...LOCAL, cert: chain, key };
}

/** One in four does not even speak TLS. */
function sometimesPlain(secret: Way['talk']): Way['talk'] {
  const plain = overSocket(plainly);
  return (port, draw, bytes, heard, closed) =>
    draw.chance(0.25) ? plain(port, draw, bytes, () => {}, closed) : secret(port, draw, bytes, heard, closed);
}

const TLS: Way = {
  name: 'mqtt-tls',
  scheme: 'mqtts:',
  inputs: 200,
  options: () => ({ tls: withCertificate() }),
  talk: sometimesPlain(overSocket(secretly)),
};
const WSS: Way = {
  name: 'mqtt-wss',
  scheme: 'wss:',
  inputs: 200,
  options: () => ({ wss: withCertificate() }),
  talk: sometimesPlain(overWebSocket('wss', secretly)),
};

async function open(way: Way): Promise<Fuzzing> {
  const directory = mkdtempSync(join(tmpdir(), 'skerry-fuzz-mqtt-'));
  const rig = await startRig(directory, {
    maxPacketBytes: 64 * 1024,
    maxQueuedPerClient: { messages: 200 },
    maxRetained: { messages: 200 },
    ...way.options(),
  });
  const listener = rig.broker.status().listeners.find((url) => new URL(url).protocol === way.scheme);
  const port = Number(new URL(listener ?? '').port);
  const healthy = await rig.client({ clientId: 'healthy', keepalive: 0 });
  await healthy.subscribeAsync('healthy/topic', { qos: 1 });
  let count = 0;
  let expected = '';
  let arrived: (() => void) | undefined;
  healthy.on('message', (_topic, payload) => {
    if (payload.toString() === expected) arrived?.();
  });
  const check = async (): Promise<void> => {
    expected = `message ${count}`;
    const delivered = new Promise<void>((resolve, reject) => {
      const limit = setTimeout(
        () => reject(new Error('a healthy client is not served any more')),
        CLOSE_LIMIT_MS,
      );
      arrived = () => {
        clearTimeout(limit);
        resolve();
      };
    });
    await healthy.publishAsync('healthy/topic', expected, { qos: 1 });
    await delivered;
    const fault = rig.log.lines.find(({ level }) => level === 'error' || level === 'fatal');
    ensure(fault === undefined, () => `the broker logged ${JSON.stringify(fault)}`);
    (rig.log.lines as unknown[]).length = 0;
  };
  return {
    one: async (draw) => {
      count += 1;
      const number = count;
      const { bytes, connects } = mqttBytes(draw);
      const answer = await converse(way, port, draw, bytes);
      checkServerBytes(answer);
      if (!connects && answer.length > 0) {
        const type = (answer[0] as number) >> 4;
        // A damaged stream may still begin with a good CONNECT; without one there is nothing to say but CONNACK or DISCONNECT.
        ensure(
          (bytes[0] as number) >> 4 === 1 || type === 14 || type === 2,
          () => `answered without CONNECT: ${answer.toString('hex')}`,
        );
      }
      if (number % CHECK_EVERY === 0) await check();
    },
    settle: async () => {
      await check();
      for (let tries = 0; rig.broker.status().connectedClients > 1; tries += 1) {
        ensure(tries < 100, () => `${rig.broker.status().connectedClients} clients are left`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    close: async () => {
      await rig.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const target = (way: Way): FuzzTarget => ({
  name: way.name,
  inputs: way.inputs,
  concurrency: 8,
  heapMb: 32,
  open: () => open(way),
});

export const mqtt = target(TCP);
export const mqttOverWebSocket = target(WS);
export const mqttOverTls = target(TLS);
export const mqttOverSecureWebSocket = target(WSS);
