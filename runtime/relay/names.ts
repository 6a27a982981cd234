/**
 * Names of a node that has a relay: neighbours first, the relay for everybody else. An app that was found behind the relay is
 * known as such from then on: without a link a call to it fails at once, and nobody asks around for it. Names that nothing is
 * known of get a short moment to be answered by a neighbour while the link is down.
 */

import type { Clock } from '../contracts/clock.ts';
import type { NameResolver, ResolveRequest } from '../contracts/name-resolver.ts';

/** What is asked of a link. */
export interface RelayFinder {
  readonly up: boolean;
  find(app: ResolveRequest): Promise<boolean>;
}

/** Address of an app behind the relay, told from `host:port` by its beginning. */
export const RELAY_ADDRESS = 'skerry-relay:';

/** A neighbour that answers this soon wins over the relay. */
const NEIGHBOUR_FIRST_MS = 50;
/** Longest search for a neighbour while there is no link: a call fails within 100 ms. */
const NO_LINK_MS = 80;
/** How long an app behind the relay is taken there without asking. */
const KNOWN_FOR_MS = 30_000;
const MAX_KNOWN = 10_000;

type Finding = { readonly address: string } | { readonly failure: unknown };

export function createRelayNames(
  neighbours: () => NameResolver | undefined,
  relay: RelayFinder,
  clock: Clock,
): Pick<NameResolver, 'resolve' | 'forget'> {
  /** By app: until when (elapsed time) it need not be asked for again. */
  const known = new Map<string, number>();
  const keyOf = ({ appId, namespace }: ResolveRequest): string => `${appId}.${namespace}`;
  const remember = (request: ResolveRequest): void => {
    const key = keyOf(request);
    known.delete(key);
    const oldest = known.size < MAX_KNOWN ? undefined : known.keys().next().value;
    if (oldest !== undefined) known.delete(oldest);
    known.set(key, clock.monotonicMs() + KNOWN_FOR_MS);
  };
  const behindRelay = ({ appId }: ResolveRequest): string => `${RELAY_ADDRESS}${appId}`;

  const askNeighbours = async (request: ResolveRequest, signal: AbortSignal): Promise<Finding> => {
    const resolver = neighbours();
    if (resolver === undefined) return { failure: new Error('name resolver not initialized') };
    try {
      return { address: await resolver.resolve(request, signal) };
    } catch (failure) {
      return { failure };
    }
  };

  const pause = (ms: number, signal: AbortSignal): Promise<undefined> =>
    clock.sleep(ms, signal).then(
      () => undefined,
      () => undefined,
    );

  const noLink = ({ appId }: ResolveRequest): Error =>
    new Error(`couldn't find service: ${appId} (the link to the relay is down)`);

  const withoutLink = async (request: ResolveRequest, asked: Promise<Finding>, signal: AbortSignal) => {
    const finding = await Promise.race([asked, pause(NO_LINK_MS, signal)]);
    if (finding !== undefined && 'address' in finding) return finding.address;
    throw noLink(request);
  };

  /** A neighbour that answers early, or whoever knows the app. */
  const withLink = async (
    request: ResolveRequest,
    asked: Promise<Finding>,
    signal: AbortSignal,
  ): Promise<string> => {
    const early = await Promise.race([asked, pause(NEIGHBOUR_FIRST_MS, signal)]);
    if (early !== undefined && 'address' in early) return early.address;
    const atRelay = relay.find(request).then(
      (found): Finding => (found ? { address: behindRelay(request) } : { failure: undefined }),
      (failure: unknown): Finding => ({ failure }),
    );
    const first = await Promise.race([asked, atRelay]);
    const finding = 'address' in first ? first : firstFound(await Promise.all([asked, atRelay]));
    signal.throwIfAborted();
    const address = taken(finding);
    if (address.startsWith(RELAY_ADDRESS)) remember(request);
    return address;
  };

  return {
    async resolve(request, signal) {
      const until = known.get(keyOf(request));
      // Said here and not by a call that fails: what finds no address is not tried again and again.
      if (until !== undefined && !relay.up) throw noLink(request);
      if (until !== undefined && until > clock.monotonicMs()) return behindRelay(request);
      const asked = askNeighbours(request, signal);
      return await (relay.up ? withLink : withoutLink)(request, asked, signal);
    },

    forget(request, address) {
      if (!address.startsWith(RELAY_ADDRESS)) neighbours()?.forget?.(request, address);
      // While there is no link the app is still where it was.
      else if (relay.up) known.delete(keyOf(request));
    },
  };
}

function firstFound([neighbour, atRelay]: readonly [Finding, Finding]): Finding {
  return 'address' in neighbour || !('address' in atRelay) ? neighbour : atRelay;
}

function taken(finding: Finding): string {
  if ('address' in finding) return finding.address;
  throw finding.failure;
}
