/**
 * aedes' part in the broker: it reads CONNECT and DISCONNECT, applies the rules of who may have a connection under which
 * id (versions, empty ids, takeover, wills and their delay) and tells clients when the broker goes down. It is used
 * through its public surface only: streams, hooks, persistence and emitter. It never sees a PUBLISH or a SUBSCRIBE;
 * decision 0014 says why.
 */

import { Readable } from 'node:stream';
import type { Aedes, AuthenticateError } from 'aedes';
import { errorText } from '../../runtime/contracts/error.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import type { Acceptance } from './acceptance.ts';
import type { Access } from './access.ts';
import type { Connection } from './connection.ts';
import type { ControlStream } from './control-stream.ts';
import type { ElapsedTime } from './elapsed-time.ts';
import { willMessage } from './wills.ts';
import type { WillRequest } from './wire/connect.ts';

export interface LifecycleParts {
  readonly id: string;
  readonly maxSessions: number;
  readonly access: Access;
  readonly acceptance: Acceptance;
  readonly time: ElapsedTime;
  readonly log: Logger;
}

type Stream = ControlStream<Connection>;

/** Starts aedes. */
export async function startAedes(parts: LifecycleParts): Promise<Aedes> {
  // Loaded here: a node without MQTT never pays for it.
  const { Aedes } = await import('aedes');
  const aedes = new Aedes({
    id: parts.id,
    mq: SILENT as never,
    persistence: NOTHING_KEPT as never,
    pendingSessionsLimit: parts.maxSessions,
    heartbeatInterval: 2 ** 28,
    authenticate: (client, _name, password, answer) => {
      const { end_: connection } = client.conn as unknown as Stream;
      authenticate(parts, connection, password).then(
        (error) => (error === undefined ? answer(null, true) : answer(error, false)),
        (error: unknown) => answer(refusal(5, errorText(error)), false),
      );
    },
    // Wills are all that aedes ever publishes.
    authorizePublish: (client, _will, answer) => {
      const connection = (client?.conn as unknown as Stream | undefined)?.end_;
      const will = connection?.request?.will;
      // An error tells aedes that nothing is left to do.
      const done = (): void => answer(new Error('published by the node'));
      if (connection === undefined || will === undefined) return done();
      publishWill(parts, connection, will, done);
    },
  });
  // aedes looks clients up in a plain object: an id such as `constructor` must find nothing there.
  (aedes as unknown as { clients: object }).clients = Object.create(null) as object;
  aedes.on('client', (client) => endGhost(client as unknown as RegisteredClient));
  (aedes as unknown as NodeJS.EventEmitter).on('error', (error: unknown) => {
    parts.log.error('MQTT broker: internal fault', { error: errorText(error) });
  });
  // What goes wrong with a connection is reported by the connection; without a listener these would be thrown.
  for (const event of ['clientError', 'connectionError'] as const) aedes.on(event, () => {});
  await aedes.listen();
  return aedes;
}

/** A client as aedes has just entered it into its list. */
interface RegisteredClient {
  closed: boolean;
  close(): void;
}

/**
 * A connection that ended while its CONNECT was still being worked on: aedes has closed it already and enters it all the
 * same, and nobody would ever take it out again. So it is closed once more.
 */
function endGhost(client: RegisteredClient): void {
  if (!client.closed) return;
  client.closed = false;
  client.close();
}

async function authenticate(
  { access, log }: LifecycleParts,
  connection: Connection,
  password: Uint8Array | undefined,
): Promise<AuthenticateError | undefined> {
  const { trusted, certificateUser, peer } = connection.source;
  const name = connection.request?.username;
  const authenticatedUser = connection.connecting.authenticatedUser;
  const admission = await access.admit({ trusted, certificateUser, authenticatedUser, name, password });
  if (!('refused' in admission)) {
    connection.user = admission.user;
    return undefined;
  }
  log.warn(`MQTT broker: ${admission.why}`, { peer, client: connection.request?.clientId, user: name });
  return refusal(admission.refused, admission.why);
}

function refusal(returnCode: 4 | 5, text: string): AuthenticateError {
  return Object.assign(new Error(text), { returnCode }) as AuthenticateError;
}

function publishWill(
  { access, acceptance, time, log }: LifecycleParts,
  connection: Connection,
  will: WillRequest,
  done: () => void,
): void {
  const { user, clientId, source } = connection;
  const forbidden =
    will.topic.startsWith('$SYS/') || (!source.trusted && !access.mayPublish(user, clientId, will.topic));
  if (forbidden) {
    log.warn('MQTT broker: a will was refused, the client is not authorized', { client: clientId, user });
    connection.connecting.willSent();
    done();
    return;
  }
  acceptance.publish(willMessage(will, time.now()), { clientId, pending: 0 }, (error) => {
    if (error === undefined) connection.connecting.willSent();
    else log.error('MQTT broker: a will could not be stored', { client: clientId, error: errorText(error) });
    done();
  });
}

/** Takes the place of aedes' emitter: messages take another way. */
const SILENT = {
  concurrency: 0,
  on(_filter: string, _listener: unknown, done?: () => void) {
    if (done !== undefined) setImmediate(done);
    return this;
  },
  removeListener(_filter: string, _listener: unknown, done?: () => void) {
    if (done !== undefined) setImmediate(done);
    return this;
  },
  emit(_packet: unknown, done?: () => void) {
    if (done !== undefined) setImmediate(done);
    return this;
  },
  close(done: () => void) {
    setImmediate(done);
    return this;
  },
};

const nothing = async (): Promise<undefined> => undefined;
const none = async (): Promise<readonly never[]> => [];
const empty = (): Readable => Readable.from([]);

/** Takes the place of aedes' persistence: sessions, subscriptions and wills are kept by the node. */
const NOTHING_KEPT = {
  setup: async (): Promise<void> => {},
  subscriptionsByClient: none,
  subscriptionsByTopic: none,
  cleanSubscriptions: nothing,
  addSubscriptions: nothing,
  removeSubscriptions: nothing,
  storeRetained: nothing,
  createRetainedStream: empty,
  createRetainedStreamCombi: empty,
  countOffline: async () => ({ subsCount: 0, clientsCount: 0 }),
  outgoingEnqueue: nothing,
  outgoingEnqueueCombi: nothing,
  outgoingUpdate: nothing,
  outgoingClearMessageId: nothing,
  outgoingStream: empty,
  incomingStorePacket: nothing,
  incomingGetPacket: nothing,
  incomingDelPacket: nothing,
  putWill: nothing,
  getWill: nothing,
  delWill: nothing,
  streamWill: empty,
  getClientList: empty,
  destroy: async (): Promise<void> => {},
};
