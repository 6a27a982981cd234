/** A broker on a database in a test's directory, MQTT.js clients for it, and raw MQTT bytes where a client is too polite. */

import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import { join } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { createBroker, type RunningBroker } from '../../../edge-components/broker/broker.ts';
import type { BrokerOptions } from '../../../edge-components/broker/options.ts';
import { createDatabasePool } from '../../../edge-components/drivers/sqlite/database-pool.ts';
import type { DatabasePool } from '../../../runtime/contracts/database.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { systemIds } from '../../../runtime/platform/system-ids.ts';
import { type RecordingLogger, recordingLogger } from '../../support/recording-logger.ts';

export interface Rig {
  readonly broker: RunningBroker;
  readonly databases: DatabasePool;
  readonly port: number;
  readonly log: RecordingLogger;
  /** Counted metrics, `reason` by `reason`. */
  readonly counts: Readonly<Record<string, number>>;
  /** While held, writes reach the disk and nobody hears of it. */
  hold(): void;
  release(): void;
  /** A client; with `connected` false it is handed out before it connects. */
  client(options?: IClientOptions, connected?: boolean): Promise<MqttClient>;
  socket(): Promise<Socket>;
  /** Ends clients, broker and database. */
  stop(): Promise<void>;
}

export async function startRig(directory: string, options: BrokerOptions = {}): Promise<Rig> {
  const log = recordingLogger();
  const clock = systemClock();
  const pool = createDatabasePool({
    workerEntry: new URL('../../support/writer-entry.ts', import.meta.url),
    systemPath: join(directory, 'node.db'),
    log,
    clock,
    onFatal: (error) => {
      throw error;
    },
  });
  const gate = heldWrites(pool);
  const counts: Record<string, number> = {};
  const broker = createBroker({
    databases: gate.databases,
    clock,
    ids: systemIds(systemClock()),
    log,
    metrics: {
      count: (_name, labels, amount = 1) => {
        const reason = labels['reason'] ?? '';
        counts[reason] = (counts[reason] ?? 0) + amount;
      },
      observe: () => {},
      gauge: () => {},
    },
    options: { tcp: { host: '127.0.0.1', port: 0 }, ...options },
  });
  try {
    await broker.start();
  } catch (error) {
    await pool.close();
    throw error;
  }
  const port = Number(new URL(broker.status().listeners[0] ?? '').port);
  const clients: MqttClient[] = [];
  const sockets: Socket[] = [];
  return {
    broker,
    databases: pool,
    port,
    log,
    counts,
    hold: gate.hold,
    release: gate.release,
    client: async (clientOptions = {}, connected = true) => {
      const client = mqtt.connect({ host: '127.0.0.1', port, reconnectPeriod: 0, ...clientOptions });
      clients.push(client);
      if (!connected) return client;
      await new Promise<void>((resolve, reject) => {
        client.once('connect', () => resolve());
        client.once('error', reject);
      });
      client.on('error', () => {});
      return client;
    },
    socket: async () => {
      const socket = connectSocket(port, '127.0.0.1');
      socket.on('error', () => {});
      sockets.push(socket);
      await once(socket, 'connect');
      return socket;
    },
    stop: async () => {
      for (const client of clients) client.end(true);
      for (const socket of sockets) socket.destroy();
      await broker.close();
      await pool.close();
    },
  };
}

function heldWrites(pool: DatabasePool): { databases: DatabasePool; hold(): void; release(): void } {
  let held: Promise<void> | undefined;
  let open: (() => void) | undefined;
  return {
    databases: {
      ...pool,
      system: async (migrations) => {
        const database = await pool.system(migrations);
        return {
          ...database,
          write: async (steps) => {
            const results = await database.write(steps);
            await held;
            return results;
          },
        };
      },
    },
    hold: () => {
      held = new Promise((resolve) => {
        open = resolve;
      });
    },
    release: () => {
      held = undefined;
      open?.();
    },
  };
}

/** Collects what a client is sent as `topic payload`; `until` resolves with the first `count` of them. */
export function collect(client: MqttClient): {
  readonly lines: string[];
  until(count: number): Promise<string[]>;
} {
  const lines: string[] = [];
  let check = (): void => {};
  client.on('message', (topic, payload) => {
    lines.push(`${topic} ${payload.toString()}`);
    check();
  });
  return {
    lines,
    until: (count) =>
      new Promise((resolve) => {
        check = () => {
          if (lines.length >= count) resolve(lines.slice(0, count));
        };
        check();
      }),
  };
}

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

const packet = (first: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([first, body.length]), body]);
};

/** Packets as bytes (MQTT 3.1.1, section 3); bodies up to 127 bytes. */
export const bytes = {
  connect: (clientId: string, clean: boolean): Buffer =>
    packet(0x10, text('MQTT'), Buffer.from([4, clean ? 2 : 0, 0, 60]), text(clientId)),
  subscribe: (filter: string, qos: number): Buffer =>
    packet(0x82, Buffer.from([0, 9]), text(filter), Buffer.from([qos])),
  publish: (topic: string, payload: string, qos: number, id: number, dup = false): Buffer =>
    packet(
      0x30 | (qos << 1) | (dup ? 8 : 0),
      text(topic),
      Buffer.from(qos > 0 ? [id >> 8, id & 255] : []),
      Buffer.from(payload),
    ),
  pubrel: (id: number): Buffer => packet(0x62, Buffer.from([id >> 8, id & 255])),
  pubrec: (id: number): Buffer => packet(0x50, Buffer.from([id >> 8, id & 255])),
  pubcomp: (id: number): Buffer => packet(0x70, Buffer.from([id >> 8, id & 255])),
};

/** Reads packets off a socket, one at a time, as their bytes. */
export function packetReader(socket: Socket): () => Promise<Buffer> {
  let buffered = Buffer.alloc(0);
  const waiting: ((packet: Buffer) => void)[] = [];
  const ready: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      const length = buffered[1];
      if (length === undefined || buffered.length < 2 + length) return;
      const one = buffered.subarray(0, 2 + length);
      buffered = buffered.subarray(2 + length);
      const next = waiting.shift();
      if (next === undefined) ready.push(one);
      else next(one);
    }
  });
  return () =>
    new Promise((resolve) => {
      const one = ready.shift();
      if (one === undefined) waiting.push(resolve);
      else resolve(one);
    });
}
