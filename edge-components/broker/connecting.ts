/**
 * CONNECT until CONNACK, with enhanced authentication in between (MQTT 5, section 4.12). aedes decides whether the client
 * comes in, under which id, and ends an older connection of it; the session it finds and what CONNACK offers are ours.
 */

import { errorText } from '../../runtime/contracts/error.ts';
import type { Connection } from './connection.ts';
import { HOLD } from './connection-host.ts';
import type { AuthenticationExchange } from './options.ts';
import type { Session } from './session.ts';
import { type ConnectRequest, readConnect, versionOf } from './wire/connect.ts';
import { ProtocolFault, protocolError, REASON } from './wire/fault.ts';
import { packet, type readAuth } from './wire/packets.ts';
import { PROPERTY, type PropertyValue, varintSize, writeVarint } from './wire/properties.ts';

/** CONNACK return codes of MQTT 3 for the reasons that have one. */
const OLD_CODES: Readonly<Record<number, number>> = { 132: 1, 133: 2, 134: 4, 135: 5, 136: 3, 151: 3 };

type Auth = ReturnType<typeof readAuth>;

export class Connecting {
  /** Another AUTH is due before CONNACK. */
  expectsAuth = false;
  readonly #connection: Connection;
  #body: Buffer | undefined;
  #exchange: AuthenticationExchange | undefined;
  #authenticated: { readonly data: Buffer | undefined; readonly user: string } | undefined;
  #answered = false;
  #willKept = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** User that enhanced authentication found. */
  get authenticatedUser(): string | undefined {
    return this.#authenticated?.user;
  }

  connect(buffer: Buffer, start: number, end: number): void {
    const connection = this.#connection;
    const version = versionOf(buffer, start, end);
    connection.five = version === 5;
    connection.state = version === undefined ? 'new' : 'connecting';
    const request = readConnect(buffer, start, end);
    connection.request = request;
    connection.receiveMaximum = request.receiveMaximum;
    connection.hold(HOLD.connecting);
    this.#body = Buffer.from(buffer.subarray(start, end));
    if (request.authMethod === undefined) this.#toAedes(request);
    else this.#begin(request, request.authMethod);
  }

  continueAuth({ reason, method, data }: Auth): void {
    const { request } = this.#connection;
    if (reason !== REASON.continueAuthentication || method !== request?.authMethod) {
      throw protocolError('AUTH does not continue the authentication that CONNECT began');
    }
    this.#step(data);
  }

  /** The client authenticates once more on an open connection (MQTT 5, section 4.12.1). */
  authenticateAgain({ reason, method, data }: Auth): void {
    const { request, host } = this.#connection;
    if (request?.authMethod === undefined || method !== request.authMethod) {
      throw protocolError('AUTH on a connection without this authentication method');
    }
    if (reason === REASON.reAuthenticate) {
      this.#exchange = host.enhancedAuth?.begin(method, this.#connection.clientId);
    } else if (reason !== REASON.continueAuthentication || this.#exchange === undefined) {
      throw protocolError('AUTH without an exchange that it continues');
    }
    this.#step(data);
  }

  /** CONNACK from aedes: flags, code, properties. */
  answered(body: Buffer): void {
    if (this.#answered) return;
    const code = body[1] ?? REASON.unspecified;
    if (code !== 0) {
      this.refuse(this.#connection.five ? code : undefined, code);
      return;
    }
    this.#open().catch((error: unknown) => this.#connection.fault(error));
  }

  /** CONNACK that says no; the connection ends afterwards. MQTT 3 gets none for what has no code there. */
  refuse(reason: number | undefined, code = OLD_CODES[reason ?? 0]): void {
    const connection = this.#connection;
    if (this.#answered || connection.state !== 'connecting') return;
    this.#answered = true;
    connection.host.statistics.refused += 1;
    if (connection.five) connection.send(packet(0x20, [0, reason ?? REASON.unspecified], []));
    else if (code !== undefined) connection.send(Buffer.from([0x20, 2, 0, code]));
  }

  /** DISCONNECT of the client: aedes keeps or drops the will. */
  disconnect(buffer: Buffer, start: number, end: number): void {
    const { control, host, clientId } = this.#connection;
    const keepsWill = end > start && buffer[start] === 4;
    if (!keepsWill) {
      if (this.#willKept) host.wills.remove(clientId, this).catch((error) => host.store.failed(error));
      this.#willKept = false;
    }
    control.push(frame(0xe0, buffer.subarray(start, end)));
  }

  /** The connection is gone with its will: the delay begins. */
  willDelayed(): void {
    const { request, session, host, clientId } = this.#connection;
    const will = request?.will;
    if (!this.#willKept || will === undefined || will.delay === 0) return;
    const seconds = Math.min(will.delay, session?.expirySeconds ?? will.delay);
    if (seconds > 0) host.wills.delay(clientId, seconds, this).catch((error) => host.store.failed(error));
  }

  /** The will is on its way; what is kept of it can go. */
  willSent(): void {
    const { host, clientId } = this.#connection;
    if (this.#willKept) {
      host.wills.remove(clientId, this).catch((error) => host.store.failed(error));
    }
    this.#willKept = false;
  }

  #begin(request: ConnectRequest, method: string): void {
    const { enhancedAuth } = this.#connection.host;
    this.#exchange = enhancedAuth?.begin(method, request.clientId);
    if (this.#exchange === undefined) {
      throw new ProtocolFault(
        REASON.badAuthenticationMethod,
        `authentication method '${method}' is not known`,
      );
    }
    this.#step(request.authData);
  }

  #step(data: Buffer | undefined): void {
    const connection = this.#connection;
    this.expectsAuth = false;
    const method = connection.request?.authMethod ?? '';
    const exchange = this.#exchange as AuthenticationExchange;
    exchange.next(data).then(
      (result) => {
        if (connection.state === 'closed') return;
        if ('continueWith' in result) {
          this.expectsAuth = connection.state === 'connecting';
          connection.send(authPacket(REASON.continueAuthentication, method, result.continueWith));
          if (this.expectsAuth) connection.source.stream.resume();
          return;
        }
        this.#exchange = undefined;
        if ('refused' in result) {
          connection.fault(new ProtocolFault(REASON.notAuthorized, result.refused));
          return;
        }
        this.#authenticated = { data: result.data, user: result.user };
        if (connection.state === 'open') {
          connection.send(authPacket(REASON.success, method, result.data));
        } else this.#toAedes(connection.request as ConnectRequest);
      },
      (error: unknown) => {
        connection.fault(new ProtocolFault(REASON.notAuthorized, errorText(error)));
      },
    );
  }

  /** aedes gets the CONNECT without keep alive (it does not see all packets) and without what it does not know. */
  #toAedes({ keepAliveAt, propertiesAt, authMethod, version }: ConnectRequest): void {
    let body = this.#body as Buffer;
    this.#body = undefined;
    body.writeUInt16BE(0, keepAliveAt);
    if (version === 5 && authMethod !== undefined) {
      const [from, to] = propertiesAt;
      const expiry = this.#connection.request?.sessionExpiry ?? 0;
      const kept = Buffer.from([5, PROPERTY.sessionExpiry, 0, 0, 0, 0]);
      kept.writeUInt32BE(expiry, 2);
      body = Buffer.concat([body.subarray(0, from), kept, body.subarray(to)]);
    }
    this.#connection.control.push(frame(0x10, body));
  }

  async #open(): Promise<void> {
    const connection = this.#connection;
    const { host } = connection;
    const request = connection.request as ConnectRequest;
    connection.clientId = host.clientIdOf(connection);
    const { clientId } = connection;
    host.opening.set(clientId, this);
    let session = host.store.get(clientId);
    if (session?.outlet !== undefined) session.detach(session.outlet);
    if (session !== undefined && request.clean) {
      await host.store.end(session);
      session = undefined;
    }
    if (!this.#hasItsTurn()) return;
    const present = session !== undefined;
    if (session === undefined) session = this.#newSession(request);
    else host.store.resume(session, connection.user, request.sessionExpiry);
    if (session === undefined) {
      connection.fault(
        new ProtocolFault(
          REASON.quotaExceeded,
          `the broker keeps at most ${host.limits.maxSessions} sessions (maxSessions)`,
        ),
      );
      return;
    }
    await this.#keepWill(request);
    if (!this.#hasItsTurn(session)) return;
    host.opening.delete(clientId);
    this.#answered = true;
    connection.session = session;
    const keepAlive = this.#keepAlive(request);
    connection.silenceMs = keepAlive * 1500;
    connection.send(this.#connack(request, present, keepAlive));
    connection.opened();
    for (const subscription of session.subscriptions.values()) {
      subscription.guarded = host.access.covers(connection.user, clientId, subscription.filter) !== 'all';
    }
    const opened = session;
    opened.outlet = connection;
    // CONNACK goes ahead alone: many programs listen for messages only once they saw it.
    connection.outbox.flush();
    setImmediate(() => {
      if (connection.state === 'open') opened.resume();
      connection.release(HOLD.connecting);
    });
  }

  /**
   * After a wait: false when the client has gone or has come in by a newer connection, which then has the session. Two
   * that both go on would make two sessions of one.
   */
  #hasItsTurn(session?: Session): boolean {
    const connection = this.#connection;
    const { host, clientId } = connection;
    const newest = host.opening.get(clientId) === this;
    if (newest && connection.state === 'connecting') return true;
    if (this.#willKept) host.wills.remove(clientId, this).catch((error) => host.store.failed(error));
    this.#willKept = false;
    if (newest) {
      host.opening.delete(clientId);
      if (session !== undefined) host.store.unclaimed(session).catch((error) => host.store.failed(error));
    } else connection.finish();
    return false;
  }

  #newSession(request: ConnectRequest): Session | undefined {
    const { clientId, user, host } = this.#connection;
    return request.sessionExpiry === 0
      ? host.store.temporary(clientId, user)
      : host.store.create(clientId, user, request.sessionExpiry);
  }

  async #keepWill({ will, sessionExpiry }: ConnectRequest): Promise<void> {
    const { host, clientId } = this.#connection;
    if (will === undefined) {
      await host.wills.replaced(clientId);
      return;
    }
    await host.wills.put(clientId, { ...will, delay: Math.min(will.delay, sessionExpiry) }, this);
    this.#willKept = true;
  }

  #keepAlive({ keepAlive }: ConnectRequest): number {
    const maximum = this.#connection.host.limits.maxKeepAlive;
    return maximum > 0 && this.#connection.five && (keepAlive === 0 || keepAlive > maximum)
      ? maximum
      : keepAlive;
  }

  #connack(request: ConnectRequest, present: boolean, keepAlive: number): Buffer {
    const { five, host, clientId } = this.#connection;
    if (!five) return Buffer.from([0x20, 2, request.version > 3 && present ? 1 : 0, 0]);
    const { limits } = host;
    const entries: [number, PropertyValue][] = [
      [PROPERTY.receiveMaximum, limits.receiveMaximum],
      [PROPERTY.maximumPacketSize, limits.maxPacketBytes],
      [PROPERTY.topicAliasMaximum, limits.topicAliasMaximum],
    ];
    if (request.clientId === '') entries.push([PROPERTY.assignedClientId, clientId]);
    if (keepAlive !== request.keepAlive) entries.push([PROPERTY.serverKeepAlive, keepAlive]);
    if (request.authMethod !== undefined) {
      entries.push([PROPERTY.authMethod, request.authMethod]);
      const data = this.#authenticated?.data;
      if (data !== undefined) entries.push([PROPERTY.authData, data]);
    }
    return packet(0x20, [present ? 1 : 0, 0], entries);
  }
}

function authPacket(reason: number, method: string, data: Buffer | undefined): Buffer {
  const entries: [number, PropertyValue][] = [[PROPERTY.authMethod, method]];
  if (data !== undefined) entries.push([PROPERTY.authData, data]);
  return packet(0xf0, [reason], entries);
}

function frame(header: number, body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(1 + varintSize(body.length) + body.length);
  bytes[0] = header;
  body.copy(bytes, writeVarint(bytes, 1, body.length));
  return bytes;
}
