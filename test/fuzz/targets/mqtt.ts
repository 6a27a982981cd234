/** The embedded broker: packets of every type, malformed, out of order, from clients that take over one another. */

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRig } from '../../edge-components/broker/broker-rig.ts';
import type { Draw } from '../support/draw.ts';
import { checkServerBytes, mqttBytes } from '../support/mqtt-bytes.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

/** A connection whose client has gone is closed within this time. */
const CLOSE_LIMIT_MS = 4000;
const CHECK_EVERY = 250;

/** Sends the bytes in pieces, then the end; resolves with what came back once the connection is closed. */
function converse(port: number, draw: Draw, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = connect(port, '127.0.0.1');
    const limit = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection is still open: ${bytes.toString('hex').slice(0, 600)}`));
    }, CLOSE_LIMIT_MS);
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(limit);
      resolve(Buffer.concat(parts));
    });
    socket.on('connect', () => {
      const cut = draw.chance(0.3) ? draw.int(0, bytes.length) : bytes.length;
      socket.write(bytes.subarray(0, cut));
      setImmediate(() => {
        if (draw.chance(0.1)) socket.destroy();
        else socket.end(bytes.subarray(cut));
      });
    });
  });
}

async function open(): Promise<Fuzzing> {
  const directory = mkdtempSync(join(tmpdir(), 'skerry-fuzz-mqtt-'));
  const rig = await startRig(directory, {
    maxPacketBytes: 64 * 1024,
    maxQueuedPerClient: { messages: 200 },
    maxRetained: { messages: 200 },
  });
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
      const answer = await converse(rig.port, draw, bytes);
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

export const mqtt: FuzzTarget = { name: 'mqtt', inputs: 5_000, concurrency: 8, heapMb: 32, open };
