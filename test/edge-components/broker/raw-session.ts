/** A raw client with a connection, and brokers for one test each. */

import t, { type Test } from 'tap';
import type { BrokerOptions } from '../../../edge-components/broker/options.ts';
import { type Rig, startRig } from './broker-rig.ts';
import { type ConnectOptions, connect, packet, type Received, reader, readPublish } from './raw-client.ts';

export interface Raw {
  send(...packets: Buffer[]): void;
  /** The next packet; fails when its type is another. */
  next(type: number): Promise<Received>;
  /** True when the answer to a PINGREQ comes before anything else. */
  quiet(): Promise<boolean>;
  /** Reads to the end of the connection: the reason of DISCONNECT, if one came. */
  end(): Promise<number | undefined>;
  drop(): void;
  readonly connack: Received;
}

export async function raw(rig: Rig, clientId: string, options: ConnectOptions = {}): Promise<Raw> {
  const socket = await rig.socket();
  const next = reader(socket);
  socket.write(connect(clientId, options));
  const connack = (await next()) as Received;
  const expect = async (type: number): Promise<Received> => {
    const received = await next();
    if (received?.type !== type) throw new Error(`expected packet type ${type}, got ${received?.type}`);
    return received;
  };
  return {
    connack,
    send: (...packets) => void socket.write(Buffer.concat(packets)),
    next: expect,
    quiet: async () => {
      socket.write(packet(0xc0));
      return (await next())?.type === 13;
    },
    end: async () => {
      let reason: number | undefined;
      for (let one = await next(); one !== undefined; one = await next()) {
        if (one.type === 14) reason = one.body[0] ?? 0;
      }
      return reason;
    },
    drop: () => socket.destroy(),
  };
}

export const withRig = (
  name: string,
  run: (t: Test, rig: Rig) => Promise<void>,
  options: BrokerOptions = {},
): void => {
  t.test(name, async (t) => {
    const rig = await startRig(t.testdir(), options);
    await run(t, rig);
    await rig.stop();
  });
};

/** A session that lasts. */
export const LASTING = [[17, 600]] as const;
export const messageIn = async (client: Raw) => readPublish(await client.next(3));
