/**
 * This relay among others: its links are told to the registry, and those of the others are found there. The table in memory is the
 * truth for the links of this relay; the registry is brought into line with it, at once where it can be reached and with the
 * next renewal of the lease where it could not. Without the registry everything that stands goes on, and nothing is taken.
 */

import type { Clock, Timer } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { FarRelay, LinkRow, LinkRows, RelayIdentity } from './link-rows.ts';
import type { LinkTable } from './link-table.ts';
import type { EnrolledNode } from './registry.ts';

export interface SharedLinksOptions {
  readonly rows: LinkRows;
  /** The links of this relay. */
  readonly links: Pick<LinkTable, 'get' | 'all'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** A node was enrolled or revoked, here or elsewhere. */
  changed(node: Pick<EnrolledNode, 'name' | 'keyHash' | 'revokedAt'>): void;
  /** A node has a newer link at another relay. */
  moved(node: string): void;
}

export interface SharedLinks {
  /** Takes the lease; rejects where the registry cannot be reached. */
  start(): Promise<void>;
  /** The links of this node have changed. */
  touch(node: string): void;
  /** Other relays with a link to this app: as known for at most five seconds, and where nothing can be asked, for longer. */
  find(appId: string): Promise<readonly FarRelay[]>;
  /** What was found was wrong. */
  forget(appId: string): void;
  readonly others: readonly RelayIdentity[];
  /** Whether the registry answers. */
  readonly reachable: boolean;
  close(): Promise<void>;
}

const RENEW_MS = 10_000;
const POLL_MS = 500;
const RETRY_MS = 1000;
/** Changes of many links within this time share a statement, and one statement has so many at most. */
const GATHER_MS = 20;
const MOST_ROWS = 1000;
/** Changes are looked for so far back: a link that was let in before may say hello now. */
const LOOK_BACK_MS = 40_000;
const KNOWN_MS = 5000;
const UNKNOWN_MS = 500;
const MAX_KNOWN = 20_000;
const CLOSE_LIMIT_MS = 1000;

interface Known {
  readonly relays: readonly FarRelay[];
  readonly untilMs: number;
}

export function createSharedLinks(options: SharedLinksOptions): SharedLinks {
  const { rows, links, clock, log, metrics } = options;
  const touched = new Set<string>();
  const known = new Map<string, Known>();
  const asked = new Map<string, Promise<readonly FarRelay[]>>();
  let others: readonly RelayIdentity[] = [];
  let reachable = true;
  let closed = false;
  let renewDueMs = 0;
  let lookedMs = clock.monotonicMs();
  let timer: Timer | undefined;
  let gathering: Timer | undefined;
  /** Statements about the links of this relay go one after the other. */
  let turn: Promise<void> = Promise.resolve();

  const answered = (fault?: unknown): void => {
    const now = fault === undefined;
    if (now !== reachable) {
      if (now) log.info('the registry answers again: nodes are taken as before');
      else
        log.error(
          `${errorText(fault)}; links that stand and calls among them go on, no new nodes are taken until it answers`,
        );
      // What happened meanwhile is not known: all is compared.
      if (now) renewDueMs = 0;
    }
    reachable = now;
    metrics.gauge('skerry_relay_registry_up', {}, now ? 1 : 0);
  };
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    turn = turn.then(work).catch((error: unknown) => answered(error));
    return turn;
  };

  const rowOf = (node: string): LinkRow | undefined => {
    const linked = links.get(node);
    return linked && { node, appIds: linked.appIds };
  };
  const inParts = async <T>(
    list: readonly T[],
    work: (part: readonly T[]) => Promise<void>,
  ): Promise<void> => {
    for (let at = 0; at < list.length; at += MOST_ROWS) await work(list.slice(at, at + MOST_ROWS));
  };

  const flush = async (): Promise<void> => {
    const nodes = [...touched];
    touched.clear();
    try {
      await inParts(nodes, async (part) => {
        const up = part.flatMap((node) => rowOf(node) ?? []);
        const down = part.filter((node) => links.get(node) === undefined);
        if (up.length > 0) await rows.put(up, true);
        if (down.length > 0) await rows.drop(down);
      });
    } catch (error) {
      renewDueMs = 0;
      throw error;
    }
  };

  /** Renews the lease and compares what is told with what is. */
  const renew = async (): Promise<void> => {
    const before = new Set(links.all().map(({ node }) => node));
    const told = await rows.renew();
    others = told.others;
    const mine = new Set(told.mine);
    const gone = told.mine.filter((node) => links.get(node) === undefined);
    await inParts(gone, (part) => rows.drop(part));
    // What is new, or has changed since, is told in its own turn.
    const missing = [...before].filter((node) => !mine.has(node) && !touched.has(node));
    await inParts(missing, async (part) => {
      const own = new Set(
        await rows.put(
          part.flatMap((node) => rowOf(node) ?? []),
          false,
        ),
      );
      for (const node of part) if (!own.has(node) && links.get(node) !== undefined) options.moved(node);
    });
    renewDueMs = clock.monotonicMs() + RENEW_MS;
  };

  const poll = async (): Promise<void> => {
    const begun = clock.monotonicMs();
    try {
      const changes = await rows.changed(begun - lookedMs + LOOK_BACK_MS);
      lookedMs = begun;
      answered();
      for (const node of changes) options.changed(node);
      if (clock.monotonicMs() >= renewDueMs) await inTurn(renew);
    } catch (error) {
      answered(error);
    }
    if (!closed) timer = clock.startTimer(reachable ? POLL_MS : RETRY_MS, () => void poll(), true);
  };

  const remember = (appId: string, relays: readonly FarRelay[]): void => {
    known.delete(appId);
    const oldest = known.size < MAX_KNOWN ? undefined : known.keys().next().value;
    if (oldest !== undefined) known.delete(oldest);
    const forMs = relays.length === 0 ? UNKNOWN_MS : KNOWN_MS;
    known.set(appId, { relays, untilMs: clock.monotonicMs() + forMs });
  };
  const ask = async (appId: string): Promise<readonly FarRelay[]> => {
    try {
      const relays = await rows.find(appId);
      remember(appId, relays);
      return relays;
    } catch (error) {
      answered(error);
      return known.get(appId)?.relays ?? [];
    }
  };

  return {
    async start() {
      await renew();
      metrics.gauge('skerry_relay_registry_up', {}, 1);
      timer = clock.startTimer(POLL_MS, () => void poll(), true);
    },
    touch(node) {
      if (closed) return;
      touched.add(node);
      gathering ??= clock.startTimer(
        GATHER_MS,
        () => {
          gathering = undefined;
          void inTurn(flush);
        },
        true,
      );
    },
    async find(appId) {
      const found = known.get(appId);
      if (found !== undefined && found.untilMs > clock.monotonicMs()) return found.relays;
      if (!reachable) return found?.relays ?? [];
      let pending = asked.get(appId);
      if (pending === undefined) {
        pending = ask(appId).finally(() => asked.delete(appId));
        asked.set(appId, pending);
      }
      return await pending;
    },
    forget: (appId) => void known.delete(appId),
    get others() {
      return others;
    },
    get reachable() {
      return reachable;
    },
    async close() {
      closed = true;
      timer?.cancel();
      gathering?.cancel();
      // A registry that does not answer keeps nobody from ending: the lease runs out by itself.
      const left = inTurn(() => (reachable ? rows.leave() : Promise.resolve()));
      await Promise.race([left, clock.sleep(CLOSE_LIMIT_MS)]);
    },
  };
}

/** `table`, whose every change is told to `shared`. */
export function tellingTable(table: LinkTable, shared: Pick<SharedLinks, 'touch'>): LinkTable {
  return {
    set(node, link, appIds) {
      table.set(node, link, appIds);
      shared.touch(node);
    },
    remove(node, link) {
      table.remove(node, link);
      shared.touch(node);
    },
    get: table.get,
    all: table.all,
    announces: table.announces,
    pick: table.pick,
    get size() {
      return table.size;
    },
  };
}
