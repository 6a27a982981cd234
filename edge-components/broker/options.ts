/** Options of the embedded broker: what may be set, the defaults, and the checks made before anything starts. */

import { isIP } from 'node:net';
import type { AccessList } from './acl-file.ts';

/** What happens to a message for a client whose queue is full. */
export type WhenQueueFull = 'drop-oldest' | 'drop-newest' | 'disconnect';

/** One client's way through enhanced authentication. */
export interface AuthenticationExchange {
  /** Takes what the client sent; `undefined` when it sent no data. */
  next(
    data: Uint8Array | undefined,
  ): Promise<
    | { readonly continueWith: Buffer | undefined }
    | { readonly user: string; readonly data: Buffer | undefined }
    | { readonly refused: string }
  >;
}

export interface EnhancedAuthentication {
  /** An exchange by `method`, or `undefined` when that is not known. */
  begin(method: string, clientId: string): AuthenticationExchange | undefined;
}

/** A TCP address to listen at; port 0 takes a free one. */
export interface ListenOptions {
  readonly host: string;
  readonly port: number;
}

export interface TlsListenOptions extends ListenOptions {
  /** PEM texts. With `ca`, devices must show a certificate signed by it; its common name is their user name. */
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
  readonly wss?: TlsListenOptions & { readonly path?: string };
  readonly users?: readonly BrokerUser[];
  /** Default: true without users, false with users. Must be said to be allowed beyond loopback. */
  readonly allowAnonymous?: boolean;
  /** What clients may read and write; without it, everything. */
  readonly accessList?: AccessList;
  /** Authentication by AUTH packets (MQTT 5, section 4.12). */
  readonly enhancedAuth?: EnhancedAuthentication;
  /** Largest accepted packet (default 1 MiB). */
  readonly maxPacketBytes?: number;
  /** Queue bound of one persistent session (defaults 10,000 messages, 16 MiB). */
  readonly maxQueuedPerClient?: { readonly messages?: number; readonly bytes?: number };
  /** What happens at that bound (default `drop-oldest`). */
  readonly whenQueueFull?: WhenQueueFull;
  /** QoS 1 and 2 messages sent to one client and not yet acknowledged (default 64). */
  readonly maxInflightPerClient?: number;
  /** Bytes that may wait for a slow client's socket before live messages to it are dropped (default 8 MiB). */
  readonly maxBufferedPerClient?: number;
  /** Persistent sessions (default 5,000). */
  readonly maxSessions?: number;
  /** Connections per listener (default 2,000). */
  readonly maxConnections?: number;
  /** Publishes of QoS 1 and 2 an MQTT 5 client may have unanswered (default 1,024). */
  readonly receiveMaximum?: number;
  /** Topic aliases per connection and direction (default 64). */
  readonly topicAliasMaximum?: number;
  /** Longest keep alive in seconds, as Server Keep Alive of MQTT 5 (default 0: as the client likes). */
  readonly maxKeepAlive?: number;
  /** Time that a message may wait for others to share its commit (default 0, at most 1,000 ms). */
  readonly lingerMs?: number;
  /** Subscriptions of one client (default 10,000). */
  readonly maxSubscriptionsPerClient?: number;
  /** Retained messages (defaults 10,000 topics, 64 MiB). */
  readonly maxRetained?: { readonly messages?: number; readonly bytes?: number };
}

/** The bounds of the options with their defaults filled in. */
export interface BrokerLimits {
  readonly maxPacketBytes: number;
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
  readonly whenFull: WhenQueueFull;
  readonly receiveMaximum: number;
  readonly topicAliasMaximum: number;
  readonly maxKeepAlive: number;
  readonly lingerMs: number;
  readonly maxSubscriptionsPerClient: number;
  readonly maxInflightPerClient: number;
  readonly maxBufferedPerClient: number;
  readonly maxSessions: number;
  readonly maxConnections: number;
  readonly maxRetainedMessages: number;
  readonly maxRetainedBytes: number;
}

const MIB = 1024 * 1024;
const MAX_LINGER_MS = 1000;

const DEFAULTS = {
  maxPacketBytes: MIB,
  maxQueuedMessages: 10_000,
  maxQueuedBytes: 16 * MIB,
  maxInflightPerClient: 64,
  maxBufferedPerClient: 8 * MIB,
  maxSessions: 5000,
  maxConnections: 2000,
  maxRetainedMessages: 10_000,
  maxRetainedBytes: 64 * MIB,
  receiveMaximum: 1024,
  topicAliasMaximum: 64,
  maxSubscriptionsPerClient: 10_000,
};

function withoutUndefined(
  values: Readonly<Record<keyof typeof DEFAULTS, number | undefined>>,
): Partial<typeof DEFAULTS> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** Defaults filled in; refuses numbers that are no bound. */
export function brokerLimits(options: BrokerOptions): BrokerLimits {
  const given = withoutUndefined({
    maxPacketBytes: options.maxPacketBytes,
    maxQueuedMessages: options.maxQueuedPerClient?.messages,
    maxQueuedBytes: options.maxQueuedPerClient?.bytes,
    maxInflightPerClient: options.maxInflightPerClient,
    maxSessions: options.maxSessions,
    maxConnections: options.maxConnections,
    maxBufferedPerClient: options.maxBufferedPerClient,
    maxRetainedMessages: options.maxRetained?.messages,
    maxRetainedBytes: options.maxRetained?.bytes,
    receiveMaximum: options.receiveMaximum,
    topicAliasMaximum: options.topicAliasMaximum,
    maxSubscriptionsPerClient: options.maxSubscriptionsPerClient,
  });
  const limits = { ...DEFAULTS, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new Error(`MQTT broker: option ${name} must be a positive integer, got ${value}`);
    }
  }
  for (const name of ['maxInflightPerClient', 'receiveMaximum', 'topicAliasMaximum'] as const) {
    if (limits[name] > 65_535) {
      throw new Error(`MQTT broker: option ${name} must be at most 65535, got ${limits[name]}`);
    }
  }
  const maxKeepAlive = options.maxKeepAlive ?? 0;
  if (!Number.isSafeInteger(maxKeepAlive) || maxKeepAlive < 0 || maxKeepAlive > 65_535) {
    throw new Error(`MQTT broker: option maxKeepAlive must be 0 to 65535 seconds, got ${maxKeepAlive}`);
  }
  const lingerMs = options.lingerMs ?? 0;
  if (!(lingerMs >= 0 && lingerMs <= MAX_LINGER_MS)) {
    throw new Error(`MQTT broker: --mqtt-linger must be 0 to ${MAX_LINGER_MS} ms, got ${lingerMs}`);
  }
  return { ...limits, maxKeepAlive, lingerMs, whenFull: options.whenQueueFull ?? 'drop-oldest' };
}

/** Names the command line uses for the listeners, for messages people can act on. */
export const LISTENER_OPTION = {
  tcp: '--mqtt-port',
  tls: '--mqtt-tls-port',
  ws: '--mqtt-ws-port',
  wss: '--mqtt-wss-port',
} as const;

export type ListenerKind = keyof typeof LISTENER_OPTION;

/** Refuses a broker that would be open to the network by accident. */
export function checkExposure(options: BrokerOptions): void {
  const protectedByUsers = (options.users ?? []).length > 0;
  for (const kind of ['tcp', 'tls', 'ws', 'wss'] as const) {
    const listener = options[kind];
    if (listener === undefined || isLoopback(listener.host)) continue;
    const certificates = 'ca' in listener && listener.ca !== undefined;
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
