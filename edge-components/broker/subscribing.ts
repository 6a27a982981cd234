/** SUBSCRIBE and UNSUBSCRIBE: every filter is judged by itself, and retained messages follow the answer. */

import type { SqlStep } from '../../runtime/contracts/database.ts';
import { errorText } from '../../runtime/contracts/error.ts';
import { sharedFilter, topicFilterFault } from '../drivers/mqtt/topic.ts';
import type { Connection } from './connection.ts';
import { MAX_LEVELS } from './message.ts';
import { RETAINED_PAGE } from './retained.ts';
import type { Subscription } from './router.ts';
import type { Session } from './session.ts';
import { ProtocolFault, REASON } from './wire/fault.ts';
import { type RequestedSubscription, type SubscribeRequest, subscriptionAnswer } from './wire/packets.ts';

/** A queue this long takes no more retained messages for the moment. */
const PACE_AT = 512;
const PAUSE_MS = 20;

export function subscribe(connection: Connection, session: Session, request: SubscribeRequest): void {
  const { store } = connection.host;
  const steps: SqlStep[] = [];
  const codes: number[] = [];
  const hungry: Subscription[] = [];
  for (const wanted of request.subscriptions) {
    const refusal = refusalOf(connection, session, wanted);
    if (refusal !== undefined) {
      codes.push(connection.five ? refusal : REASON.unspecified); // 3.1.1 knows one failure only
      continue;
    }
    const guarded = accessTo(connection, wanted.filter) !== 'all';
    const fresh = store.subscribe(session, wanted, wanted.qos, request.identifier, guarded, steps);
    codes.push(wanted.qos);
    // [MQTT-3.3.1-9] to [MQTT-3.3.1-11]
    if (wanted.retainHandling === 0 || (wanted.retainHandling === 1 && fresh)) {
      const subscription = session.subscriptions.get(wanted.filter);
      if (subscription !== undefined) hungry.push(subscription);
    }
  }
  const answer = subscriptionAnswer(0x90, request.packetId, connection.five, codes);
  afterWrite(connection, steps, () => {
    connection.send(answer);
    if (hungry.length > 0) {
      feed(connection, session, hungry).catch((error: unknown) =>
        connection.host.log.error('MQTT broker: retained messages cannot be read', {
          error: errorText(error),
        }),
      );
    }
  });
}

export function unsubscribe(
  connection: Connection,
  session: Session,
  request: { readonly packetId: number; readonly filters: readonly string[] },
): void {
  const steps: SqlStep[] = [];
  const codes = request.filters.map((filter) =>
    connection.host.store.unsubscribe(session, filter, steps) ? REASON.success : REASON.noSubscriptionExisted,
  );
  const answer = subscriptionAnswer(0xb0, request.packetId, connection.five, connection.five ? codes : []);
  afterWrite(connection, steps, () => connection.send(answer));
}

function afterWrite(connection: Connection, steps: readonly SqlStep[], then: () => void): void {
  if (steps.length === 0) {
    then();
    return;
  }
  connection.host.write(steps).then(
    () => {
      if (connection.state === 'open') then();
    },
    (error: unknown) => {
      const text = `a subscription could not be stored: ${errorText(error)}`;
      connection.fault(new ProtocolFault(REASON.implementationSpecific, text));
    },
  );
}

function refusalOf(
  connection: Connection,
  session: Session,
  { filter }: RequestedSubscription,
): number | undefined {
  const shared = sharedFilter(filter);
  const badShare =
    (filter.startsWith('$share') && /^\$share(\/|$)/.test(filter) && shared === undefined) ||
    (shared !== undefined && /[#+]/.test(shared.group));
  if (badShare || topicFilterFault(filter) !== undefined || filter.split('/').length > MAX_LEVELS) {
    return REASON.topicFilterInvalid;
  }
  const { maxSubscriptionsPerClient } = connection.host.limits;
  if (session.subscriptions.size >= maxSubscriptionsPerClient && !session.subscriptions.has(filter)) {
    return REASON.quotaExceeded;
  }
  if (accessTo(connection, filter) !== 'none') return undefined;
  const { user, clientId, host } = connection;
  host.log.warn('MQTT broker: a subscription was refused, the client is not authorized', {
    client: clientId,
    user,
    filter,
  });
  // Who is nobody is not told why (MQTT 5, section 3.9.3: "does not wish to reveal the reason").
  return user === undefined ? REASON.unspecified : REASON.notAuthorized;
}

function accessTo(connection: Connection, filter: string): 'all' | 'some' | 'none' {
  if (connection.source.trusted) return 'all';
  return connection.host.access.covers(connection.user, connection.clientId, filter);
}

/** Retained messages for new subscriptions, a page at a time and no faster than the client takes them. */
async function feed(
  connection: Connection,
  session: Session,
  subscriptions: readonly Subscription[],
): Promise<void> {
  const { host } = connection;
  const settled = host.acceptance.retainedSettled();
  if (settled !== undefined) await settled;
  for (const subscription of subscriptions) {
    // [MQTT-4.8.2-27]: none for shared subscriptions
    if (sharedFilter(subscription.filter) !== undefined) continue;
    if (subscription.filter.startsWith('$SYS')) host.sys.show(connection, subscription.filter);
    await pages(connection, session, subscription, host.retained.topics(subscription.filter));
  }
}

async function pages(
  connection: Connection,
  session: Session,
  subscription: Subscription,
  topics: readonly string[],
): Promise<void> {
  for (let from = 0; from < topics.length && connection.state === 'open'; from += RETAINED_PAGE) {
    page(connection, session, subscription, topics.slice(from, from + RETAINED_PAGE));
    while (connection.state === 'open' && (!connection.hasRoom || session.queue.length > PACE_AT)) {
      await connection.host.clock.sleep(PAUSE_MS);
    }
  }
}

function page(
  connection: Connection,
  session: Session,
  subscription: Subscription,
  topics: readonly string[],
): void {
  const { host } = connection;
  const ids = subscription.identifier === undefined ? undefined : [subscription.identifier];
  for (const message of host.retained.read(topics, host.time.now())) {
    if (subscription.guarded && !host.access.mayRead(session.user, session.clientId, message.topic)) continue;
    const qos = Math.min(message.qos, subscription.qos);
    if (qos === 0) connection.publishLive(message, true, ids);
    else if (session.durable) host.acceptance.queueFor(session, message, qos, true);
    else session.deliver(message, qos, true, ids);
  }
}
