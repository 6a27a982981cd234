/** Options of the embedded broker: what may be set, the defaults, and the checks made before anything starts. */

import { isIP } from 'node:net';

/** A TCP address to listen at; port 0 takes a free one. */
export interface ListenOptions {
  readonly host: string;
  readonly port: number;
}

export interface TlsListenOptions extends ListenOptions {
  /** PEM texts. With `ca`, devices must show a certificate signed by it. */
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

/** A person or device that may connect; `passwordHash` as made by `hashPassword`. */
export interface BrokerUser {
  readonly name: string;
  readonly password?: string;
  readonly passwordHash?: string;
}

export interface BrokerOptions {
  readonly tcp?: ListenOptions;
  readonly tls?: TlsListenOptions;
  readonly ws?: ListenOptions & { readonly path?: string };
  readonly users?: readonly BrokerUser[];
  /** Default: true without users, false with users. Must be said to be allowed beyond loopback. */
  readonly allowAnonymous?: boolean;
  /** Largest accepted packet (default 1 MiB). */
  readonly maxPacketBytes?: number;
  /** Queue bound of one persistent session (defaults 10,000 messages, 16 MiB). */
  readonly maxQueuedPerClient?: { readonly messages?: number; readonly bytes?: number };
  /** What happens at that bound (default `drop-oldest`). */
  readonly whenQueueFull?: 'drop-oldest' | 'drop-newest';
  /** QoS 1 and 2 messages sent to one client and not yet acknowledged (default 64). */
  readonly maxInflightPerClient?: number;
  /** Bytes that may wait for a slow client's socket before live messages to it are dropped (default 8 MiB). */
  readonly maxBufferedPerClient?: number;
  /** Persistent sessions (default 5,000). */
  readonly maxSessions?: number;
  /** Connections per listener (default 2,000). */
  readonly maxConnections?: number;
  /** Retained messages (defaults 10,000 topics, 64 MiB). */
  readonly maxRetained?: { readonly messages?: number; readonly bytes?: number };
}

/** The bounds of the options with their defaults filled in. */
export interface BrokerLimits {
  readonly maxPacketBytes: number;
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
  readonly whenFull: 'drop-oldest' | 'drop-newest';
  readonly maxInflightPerClient: number;
  readonly maxBufferedPerClient: number;
  readonly maxSessions: number;
  readonly maxConnections: number;
  readonly maxRetainedMessages: number;
  readonly maxRetainedBytes: number;
}

const MIB = 1024 * 1024;

/** Defaults filled in; refuses numbers that are no bound. */
export function brokerLimits(options: BrokerOptions): BrokerLimits {
  const limits = {
    maxPacketBytes: options.maxPacketBytes ?? MIB,
    maxQueuedMessages: options.maxQueuedPerClient?.messages ?? 10_000,
    maxQueuedBytes: options.maxQueuedPerClient?.bytes ?? 16 * MIB,
    maxInflightPerClient: options.maxInflightPerClient ?? 64,
    maxBufferedPerClient: options.maxBufferedPerClient ?? 8 * MIB,
    maxSessions: options.maxSessions ?? 5000,
    maxConnections: options.maxConnections ?? 2000,
    maxRetainedMessages: options.maxRetained?.messages ?? 10_000,
    maxRetainedBytes: options.maxRetained?.bytes ?? 64 * MIB,
  };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new Error(`MQTT broker: option ${name} must be a positive integer, got ${value}`);
    }
  }
  if (limits.maxInflightPerClient > 65_535) {
    throw new Error('MQTT broker: option maxInflightPerClient must be at most 65535 ([MQTT-2.3.1-1])');
  }
  return { ...limits, whenFull: options.whenQueueFull ?? 'drop-oldest' };
}

/** Whether connections without a user name are let in. */
export function anonymousAllowed(options: BrokerOptions): boolean {
  return options.allowAnonymous ?? (options.users ?? []).length === 0;
}

/** Names the command line uses for the listeners, for messages people can act on. */
export const LISTENER_OPTION = { tcp: '--mqtt-port', tls: '--mqtt-tls-port', ws: '--mqtt-ws-port' } as const;

export type ListenerKind = keyof typeof LISTENER_OPTION;

/** Refuses a broker that would be open to the network by accident. */
export function checkExposure(options: BrokerOptions): void {
  const protectedByUsers = (options.users ?? []).length > 0;
  for (const kind of ['tcp', 'tls', 'ws'] as const) {
    const listener = options[kind];
    if (listener === undefined || isLoopback(listener.host)) continue;
    const certificates = kind === 'tls' && options.tls?.ca !== undefined;
    if (protectedByUsers || certificates || options.allowAnonymous === true) continue;
    throw new Error(
      `MQTT broker: ${LISTENER_OPTION[kind]} would listen at ${listener.host}, which other machines can reach, ` +
        'and no users are configured. Configure users, listen at 127.0.0.1, or set allowAnonymous to true.',
    );
  }
  for (const user of options.users ?? []) {
    if (user.name === '') throw new Error('MQTT broker: a user has an empty name');
    if ((user.password === undefined) === (user.passwordHash === undefined)) {
      throw new Error(`MQTT broker: user ${user.name} needs either password or passwordHash`);
    }
  }
}

/** Whether `host` can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '');
  if (bare === 'localhost' || bare === '::1') return true;
  return isIP(bare) === 4 && bare.startsWith('127.');
}
