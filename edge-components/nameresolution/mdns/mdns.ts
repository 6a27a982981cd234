/**
 * `nameresolution.mdns`: sidecars of one network find each other by multicast DNS (gRPC reference, section 6.1). All
 * apps of the process share one socket. Apps of this process resolve without any network; where multicast cannot be
 * had, that is all that resolves, and the reason is logged.
 */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import type { Announcement, NameResolver, ResolveRequest } from '../../../runtime/contracts/name-resolver.ts';
import type {
  MdnsPacket,
  MulticastSocket,
  MulticastSocketOptions,
} from '../../drivers/mdns/multicast-socket.ts';
import { createAddressCache } from './address-cache.ts';
import {
  announcement,
  answerTo,
  browseQuery,
  findAddresses,
  goodbye,
  goodbyePorts,
  type ServiceRecord,
} from './records.ts';

export interface MdnsResolverOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly hostName: string;
  readonly pid: number;
  openSocket(options: MulticastSocketOptions): Promise<MulticastSocket>;
}

/** A lost packet must not cost a whole second, a busy network must not be flooded. */
const ASK_AGAIN_AT_MS = [200, 500] as const;
const BROWSE_LIMIT_MS = 1000;
const ANNOUNCE_AGAIN_MS = 1000;
const REFRESH_MS = 30_000;
const MDNS_PORT = 5353;

interface Browse {
  readonly found: Promise<string>;
  take(address: string): void;
  fail(cause: Error): void;
}

/** Makes a resolver that has not opened its socket yet. */
export function createMdnsResolver(options: MdnsResolverOptions): NameResolver {
  const { clock, log } = options;
  const cache = createAddressCache(clock);
  const own = new Set<ServiceRecord>();
  const browses = new Map<string, Browse>();
  const timers = new Set<Timer>();
  let socket: MulticastSocket | undefined;
  let closed = false;

  const later = (delayMs: number, run: () => void): Timer => {
    const timer = clock.startTimer(
      delayMs,
      () => {
        timers.delete(timer);
        run();
      },
      true,
    );
    timers.add(timer);
    return timer;
  };

  const send = (packet: MdnsPacket): void => void socket?.send(packet);

  const received = (packet: MdnsPacket, from: { readonly address: string; readonly port: number }): void => {
    if (packet.type === 'response') takeAnswers(packet);
    else answerQuery(packet, from);
  };

  const answerQuery = (
    query: MdnsPacket,
    from: { readonly address: string; readonly port: number },
  ): void => {
    for (const record of own) {
      const answer = answerTo(query, record);
      if (answer === undefined) continue;
      // A question from another port is a simple DNS client's, which hears direct answers only (RFC 6762, 6.7).
      if (from.port === MDNS_PORT) send(answer);
      else void socket?.sendTo({ ...answer, id: query.id ?? 0, questions: query.questions }, from);
    }
  };

  const takeAnswers = (packet: MdnsPacket): void => {
    for (const appId of cache.watched) {
      keepAnswers(packet, appId);
      const browse = browses.get(appId);
      const address = browse === undefined ? undefined : cache.next(appId);
      if (address !== undefined) browse?.take(address);
    }
  };

  const keepAnswers = (packet: MdnsPacket, appId: string): void => {
    for (const found of findAddresses(packet, appId)) {
      if (found.gone) cache.remove(appId, found.address);
      else cache.add(found);
    }
    for (const port of goodbyePorts(packet, appId)) cache.removePort(appId, port);
  };

  const startBrowse = (appId: string): Browse => {
    let take: (address: string) => void = () => {};
    let fail: (cause: Error) => void = () => {};
    const found = new Promise<string>((resolve, reject) => {
      take = resolve;
      fail = reject;
    });
    const mine: Timer[] = [];
    const end = (): void => {
      for (const timer of mine) {
        timer.cancel();
        timers.delete(timer);
      }
      browses.delete(appId);
    };
    const browse: Browse = {
      found,
      take: (address) => {
        end();
        take(address);
      },
      fail: (cause) => {
        end();
        fail(cause);
      },
    };
    found.catch(() => {});
    browses.set(appId, browse);
    for (const at of ASK_AGAIN_AT_MS) mine.push(later(at, () => send(browseQuery(appId))));
    mine.push(later(BROWSE_LIMIT_MS, () => browse.fail(new Error(`couldn't find service: ${appId}`))));
    send(browseQuery(appId));
    return browse;
  };

  const refresh = (): void => {
    cache.prune();
    for (const appId of cache.watched) send(browseQuery(appId));
    later(REFRESH_MS, refresh);
  };

  const announceAll = (): void => {
    for (const record of own) send(announcement(record));
  };

  return {
    async init() {
      try {
        socket = await options.openSocket({ log, received, interfaceAdded: announceAll });
        later(REFRESH_MS, refresh);
      } catch (cause) {
        log.error(`mDNS is not available, apps of other nodes cannot be found: ${errorText(cause)}`);
      }
    },

    async register(app) {
      const record: ServiceRecord = {
        appId: app.appId,
        hostName: options.hostName,
        pid: options.pid,
        address: app.address,
        port: app.internalPort,
      };
      own.add(record);
      send(announcement(record));
      const again = later(ANNOUNCE_AGAIN_MS, () => send(announcement(record)));
      if (socket !== undefined) log.info(`local service entry announced: ${app.appId} -> ${hostPort(app)}`);
      return {
        close: async () => {
          if (!own.delete(record)) return;
          again.cancel();
          timers.delete(again);
          await socket?.send(goodbye(record));
        },
      };
    },

    resolve(request, signal) {
      const { appId } = request;
      for (const record of own)
        if (record.appId === appId)
          return Promise.resolve(hostPort({ address: record.address, internalPort: record.port }));
      const cached = cache.next(appId);
      if (cached !== undefined) return Promise.resolve(cached);
      if (socket === undefined || closed) return Promise.reject(new Error(`couldn't find service: ${appId}`));
      cache.watch(appId);
      return withSignal((browses.get(appId) ?? startBrowse(appId)).found, signal);
    },

    forget({ appId }: ResolveRequest, address) {
      cache.remove(appId, address);
    },

    async close() {
      if (closed) return;
      closed = true;
      for (const timer of timers) timer.cancel();
      timers.clear();
      for (const browse of [...browses.values()]) browse.fail(new Error('the resolver is closed'));
      for (const record of own) await socket?.send(goodbye(record));
      own.clear();
      await socket?.close();
      socket = undefined;
    },
  };
}

function hostPort({ address, internalPort }: Pick<Announcement, 'address' | 'internalPort'>): string {
  return address.includes(':') ? `[${address}]:${internalPort}` : `${address}:${internalPort}`;
}

function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    signal.addEventListener('abort', aborted, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}
