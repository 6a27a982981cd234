/**
 * The one multicast DNS socket of the process (port 5353, shared with other responders on the machine). It listens on
 * every interface and sends on each of them in turn; a host without any network besides loopback talks over loopback.
 */

import { createSocket, type RemoteInfo } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import type { Answer, Question } from 'dns-packet';
import createMdns from 'multicast-dns';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';

export interface MdnsPacket {
  readonly type: 'query' | 'response';
  readonly id?: number;
  readonly questions: readonly Question[];
  readonly answers: readonly Answer[];
  readonly additionals: readonly Answer[];
}

export interface MulticastSocket {
  /** Sends on every interface. Resolves once handed over; failures are logged, never thrown. */
  send(packet: MdnsPacket): Promise<void>;
  /** Answers one asker directly. */
  sendTo(packet: MdnsPacket, asker: { readonly address: string; readonly port: number }): Promise<void>;
  close(): Promise<void>;
}

export interface MulticastSocketOptions {
  readonly log: Logger;
  received(packet: MdnsPacket, from: { readonly address: string; readonly port: number }): void;
  /** A network interface appeared: what was announced before has not been heard there. */
  interfaceAdded(): void;
}

/** What the typings of multicast-dns leave out. */
type Mdns = ReturnType<typeof createMdns> & {
  send(packet: object, to: object | null, sent: (error: Error | null | undefined) => void): void;
};

const LOOPBACK = '127.0.0.1';

/** First IPv4 address of every interface that leads out; loopback when there is none. */
export function sendingInterfaces(interfaces = networkInterfaces()): string[] {
  const addresses: string[] = [];
  for (const list of Object.values(interfaces)) {
    const found = list?.find((address) => address.family === 'IPv4' && !address.internal);
    if (found !== undefined) addresses.push(found.address);
  }
  return addresses.length > 0 ? addresses : [LOOPBACK];
}

/** Opens the socket; rejects when the port cannot be bound. */
export function openMulticastSocket(options: MulticastSocketOptions): Promise<MulticastSocket> {
  const { log } = options;
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    const mdns = createMdns({ socket, bind: '0.0.0.0' }) as Mdns;
    let turn: Promise<void> = Promise.resolve();
    let closed = false;
    let silent = false;

    const sendOn = (address: string, packet: MdnsPacket): Promise<Error | undefined> =>
      new Promise((sent) => {
        try {
          socket.setMulticastInterface(address);
        } catch (cause) {
          sent(cause as Error);
          return;
        }
        mdns.send(toPacket(packet), null, (error) => sent(error ?? undefined));
      });

    const sendEverywhere = async (packet: MdnsPacket): Promise<void> => {
      const targets = sendingInterfaces();
      const failures = await sendOnAll(targets, packet);
      // No interface takes multicast: neighbours on this machine may still be reached.
      const outage =
        failures.length === targets.length &&
        (targets.includes(LOOPBACK) || (await sendOn(LOOPBACK, packet)) !== undefined);
      // One line per outage: every later packet would say the same.
      if (outage && !silent && !closed) log.warn(`mDNS packets cannot be sent: ${failures.join('; ')}`);
      silent = outage;
    };

    const sendOnAll = async (targets: readonly string[], packet: MdnsPacket): Promise<string[]> => {
      const failures: string[] = [];
      for (const address of targets) {
        const failure = closed ? undefined : await sendOn(address, packet);
        if (failure !== undefined) failures.push(`${address}: ${errorText(failure)}`);
      }
      return failures;
    };

    /** The sending interface is a property of the socket, so packets go out one after the other. */
    const inTurn = (work: () => Promise<void>): Promise<void> => {
      turn = turn.then(work);
      return turn;
    };

    const opened: MulticastSocket = {
      send: (packet) => inTurn(() => sendEverywhere(packet)),
      sendTo: (packet, asker) =>
        inTurn(
          () =>
            new Promise((sent) => {
              if (closed) sent();
              else mdns.send(toPacket(packet), { ...asker }, () => sent());
            }),
        ),
      close: async () => {
        await turn;
        closed = true;
        await new Promise<void>((done) => mdns.destroy(() => done()));
      },
    };

    mdns.on('ready', () => resolve(opened));
    mdns.on('error', (cause: Error) => {
      mdns.destroy();
      reject(cause);
    });
    mdns.on('warning', (cause: Error) => log.debug(`mDNS: ${errorText(cause)}`));
    mdns.on('networkInterface', () => options.interfaceAdded());
    mdns.on('packet', (packet: unknown, from: RemoteInfo) => {
      if (!closed) options.received(fromPacket(packet as Partial<MdnsPacket>), from);
    });
  });
}

function fromPacket(packet: Partial<MdnsPacket>): MdnsPacket {
  return {
    type: packet.type ?? 'query',
    id: packet.id ?? 0,
    questions: packet.questions ?? [],
    answers: packet.answers ?? [],
    additionals: packet.additionals ?? [],
  };
}

const AUTHORITATIVE_ANSWER = 1 << 10;

function toPacket(packet: MdnsPacket) {
  return {
    type: packet.type,
    id: packet.id ?? 0,
    flags: packet.type === 'response' ? AUTHORITATIVE_ANSWER : 0,
    questions: [...packet.questions],
    answers: [...packet.answers],
    additionals: [...packet.additionals],
  };
}
