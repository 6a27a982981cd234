/**
 * The link of a node to its relay: dialled again whenever it is gone (exponential pause with full jitter), its certificate
 * renewed over the link before it expires, the node's app ids announced on it. Local calls never wait for any of this.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock, Timer } from '../contracts/clock.ts';
import type { LinkState } from '../contracts/edge-link.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { Random } from '../contracts/random.ts';
import type { RelayedSidecar } from '../contracts/relayed-sidecar.ts';
import type { GrpcCallOptions, GrpcStream } from '../grpc-client/call.ts';
import { certificateRequest } from '../security/csr.ts';
import { createDialler } from './dialler.ts';
import { type EdgeSession, openEdgeSession } from './edge-session.ts';
import { type NodeEnrolment, readEnrolment, writeEnrolment } from './enrolment.ts';
import type { LinkedApp } from './linked-app.ts';
import { createPacker } from './packing.ts';
import { type RelayMessage, SIDECAR_SUBSCRIBE_PATH, type SidecarOffer } from './protocol.ts';
import { createRelayedSidecar, type SidecarLine } from './relayed-sidecar.ts';
import { type ReverseCall, startReverseCall } from './reverse-call.ts';

export interface EdgeLinkOptions {
  readonly file: string;
  readonly enrolment: NodeEnrolment;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly version: string;
  /** How often the relay is heard on a silent link, and how late it may be. */
  readonly probeMs: number;
  readonly probeTimeoutMs: number;
  readonly maxMessageBytes: number;
}

export interface EdgeLink {
  readonly up: boolean;
  state(): LinkState;
  /** Announces an app of this node until the result is closed. */
  register(app: LinkedApp): { close(): void };
  /** Calls `run` whenever the link is up again. */
  onUp(run: () => void): { stop(): void };
  /** Whether the relay can reach this app; rejects when it cannot be asked. */
  find(app: { readonly appId: string; readonly namespace: string }): Promise<boolean>;
  /** Opens a call to an app behind the relay; rejects with Unavailable at once while the link is down. */
  open(call: ReverseCall, options: GrpcCallOptions): Promise<GrpcStream>;
  /** The sidecar beside the relay, asked in the name of an app of this node. */
  sidecar(app: { readonly appId: string; readonly namespace: string }): RelayedSidecar;
  close(): Promise<void>;
}

const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 30_000;
/** A link that held this long makes the next pause short again. */
const STEADY_MS = 10_000;
const FIND_LIMIT_MS = 3000;
const RENEW_AT = 0.5;
const MAX_LOOK_MS = 60_000;
/** Who has something to send waits for the first attempt so long. */
const FIRST_LIMIT_MS = 3000;
/** A connection that came through and brings no welcome for so long is dialled anew beside, and given up. */
const UNWELCOME_MS = 2000;
const STUCK_MS = 12_000;

export function createEdgeLink(options: EdgeLinkOptions): EdgeLink {
  const { clock, log, metrics, random } = options;
  let { enrolment } = options;
  const apps = new Map<string, LinkedApp>();
  const listeners = new Set<() => void>();
  const questions = new Map<number, (found: boolean) => void>();
  let session: EdgeSession | undefined;
  let welcomed = false;
  let closed = false;
  let attempts = 0;
  let since = clock.now();
  let upSinceMs = 0;
  let reason = 'not dialled yet';
  let lastContact: number | undefined;
  let accepted: readonly string[] = [];
  let refused: readonly string[] = [];
  let question = 0;
  let offer: SidecarOffer | undefined;
  let chosenMs = 0;
  /** How the first attempt went, whichever way. */
  const first = Promise.withResolvers<void>();
  const packer = createPacker();
  let renewTimer: Timer | undefined;
  let saving: Promise<void> = Promise.resolve();

  const announce = (): void => session?.send({ type: 'apps', apps: [...apps.keys()] });

  const welcome = (message: RelayMessage & { type: 'welcome' }): void => {
    accepted = message.accepted;
    refused = message.refused;
    offer = message.sidecar;
    if (refused.length > 0)
      log.warn(`the relay refuses app ids that this node was not enrolled for: ${refused.join(', ')}`);
    if (welcomed) return;
    welcomed = true;
    since = clock.now();
    upSinceMs = clock.monotonicMs();
    metrics.gauge('skerry_relay_link_up', {}, 1);
    first.resolve();
    // This link knows nothing of what went over the one before.
    packer.release();
    renewWhenDue();
    for (const run of listeners) run();
    log.info('relay link up', { relay: enrolment.relay, node: enrolment.node, app_ids: accepted });
  };

  const takeCertificate = (chain: string): void => {
    const certificate = new X509Certificate(chain);
    if (!certificate.checkPrivateKey(createPrivateKey(enrolment.key))) {
      log.error('the relay sent a certificate for another key; the one in use stays');
      return;
    }
    enrolment = { ...enrolment, certificate: chain };
    // Where the old one had expired the relay waits for us to dial again.
    attempts = 0;
    const saved = enrolment;
    saving = saving
      .then(() => writeEnrolment(options.file, saved))
      .then(() => log.info('relay certificate renewed', { expires: certificate.validToDate.toISOString() }))
      .catch((error: unknown) => log.error(`the new relay certificate is not saved: ${errorText(error)}`));
  };

  const received = (message: RelayMessage): void => {
    if (message.type === 'welcome') welcome(message);
    else if (message.type === 'found') questions.get(message.n)?.(message.found);
    else if (message.type === 'certificate') takeCertificate(message.chain);
  };

  /** What was the link is none any more. */
  const lost = (why: string): boolean => {
    const wasUp = welcomed;
    lastContact = wasUp && session !== undefined ? session.lastContact : lastContact;
    session = undefined;
    welcomed = false;
    accepted = [];
    first.resolve();
    for (const answer of [...questions.values()]) answer(false);
    if (wasUp || why !== reason) log.warn('relay link down', { relay: enrolment.relay, reason: why });
    if (wasUp) {
      since = clock.now();
      metrics.count('skerry_relay_link_down_total', {});
    }
    metrics.gauge('skerry_relay_link_up', {}, 0);
    reason = why;
    return wasUp;
  };

  const down = (why: string): void => {
    const wasUp = lost(why);
    if (closed) return;
    if (wasUp && clock.monotonicMs() - upSinceMs >= STEADY_MS) attempts = 0;
    const most = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts, 10));
    attempts += 1;
    dialler.after(most * random.float());
  };

  const chosen = (opened: EdgeSession): void => {
    const old = session;
    if (old !== undefined) lost('another connection took its place');
    session = opened;
    old?.close('another connection took its place');
    chosenMs = clock.monotonicMs();
    opened.send({
      type: 'hello',
      apps: [...apps.keys()],
      namespace: apps.values().next().value?.namespace ?? 'default',
      probeMs: options.probeMs,
      version: options.version,
    });
  };

  const dialler = createDialler({
    clock,
    random,
    prepare: async () => {
      // Somebody may have enrolled the node anew while it runs.
      enrolment = (await readEnrolment(options.file).catch(() => undefined)) ?? enrolment;
    },
    open: (events) => {
      const opened = openEdgeSession({
        ...options,
        ...events,
        enrolment,
        app: (appId) => apps.get(appId),
        received: (message) => {
          if (opened === session) received(message);
        },
        // The way may be free again while the system waits to repeat what was lost on it.
        doubted: () => dialler.hurry(),
        trusted: () => dialler.drop(),
      });
      return opened;
    },
    chosen,
    failed: (why) => {
      if (session === undefined) down(why);
    },
    ended: (over, why) => {
      if (over === session) down(why);
    },
  });

  /** Somebody has something to send: no long pause is sat out. */
  const hurry = (): void => {
    if (welcomed || closed) return;
    const ms = session === undefined ? UNWELCOME_MS : clock.monotonicMs() - chosenMs;
    if (ms > STUCK_MS) session?.close('the relay did not answer in time');
    else if (ms >= UNWELCOME_MS) dialler.hurry();
  };

  const lifetime = (): { readonly fromMs: number; readonly toMs: number } => {
    const { validFromDate, validToDate } = new X509Certificate(enrolment.certificate);
    return { fromMs: validFromDate.getTime(), toMs: validToDate.getTime() };
  };
  const renewWhenDue = (): void => {
    const { fromMs, toMs } = lifetime();
    if (welcomed && clock.now() >= fromMs + (toMs - fromMs) * RENEW_AT)
      session?.send({ type: 'renew', request: certificateRequest(createPrivateKey(enrolment.key)) });
  };
  const lookAtCertificate = (): void => {
    const { fromMs, toMs } = lifetime();
    renewWhenDue();
    renewTimer = clock.startTimer(Math.min(MAX_LOOK_MS, (toMs - fromMs) / 10), lookAtCertificate, true);
  };

  metrics.gauge('skerry_relay_link_up', {}, 0);
  dialler.after(0);
  lookAtCertificate();

  const line: SidecarLine = {
    packer,
    maxMessageBytes: options.maxMessageBytes,
    offer: async (signal) => {
      if (!welcomed) {
        hurry();
        const limit = Promise.withResolvers<void>();
        const timer = clock.startTimer(FIRST_LIMIT_MS, limit.resolve, true);
        signal.addEventListener('abort', () => limit.resolve(), { once: true });
        await Promise.race([first.promise, limit.promise]);
        timer.cancel();
        signal.throwIfAborted();
      }
      if (!welcomed) throw new Error(`the link to the relay is down: ${reason}`);
      return offer;
    },
    open: (call, callOptions) => link.open(call, callOptions),
    onUp: (run) => link.onUp(run),
  };
  const link: EdgeLink = {
    get up() {
      return welcomed;
    },
    state: () => {
      const contact = welcomed ? session?.lastContact : lastContact;
      return {
        relay: enrolment.relay,
        node: enrolment.node,
        up: welcomed,
        since,
        ...(welcomed ? {} : { reason }),
        ...(contact === undefined ? {} : { lastContact: contact }),
        appIds: accepted,
        refused,
        certificateExpiresAt: lifetime().toMs,
      };
    },
    register: (app) => {
      apps.set(app.appId, app);
      announce();
      return {
        close: () => {
          if (apps.get(app.appId) === app) apps.delete(app.appId);
          announce();
        },
      };
    },
    onUp: (run) => {
      listeners.add(run);
      return { stop: () => void listeners.delete(run) };
    },
    find: ({ appId, namespace }) =>
      new Promise((resolve, reject) => {
        if (!welcomed || session === undefined) {
          reject(new Error(`the link to the relay is down: ${reason}`));
          return;
        }
        question += 1;
        const n = question;
        const limit = clock.startTimer(
          FIND_LIMIT_MS,
          () => {
            questions.delete(n);
            reject(new Error('the relay did not answer in time'));
          },
          true,
        );
        questions.set(n, (found) => {
          questions.delete(n);
          limit.cancel();
          resolve(found);
        });
        session.send({ type: 'find', n, appId, namespace });
      }),
    open: async (call, callOptions) => {
      if (!welcomed || session === undefined)
        throw new GrpcStatusError(GrpcCode.Unavailable, `the link to the relay is down: ${reason}`);
      const stream = await session.take(callOptions.signal, call.path === SIDECAR_SUBSCRIBE_PATH);
      return startReverseCall(stream, call, {
        ...callOptions,
        clock,
        maxMessageBytes: options.maxMessageBytes,
      });
    },
    close: async () => {
      closed = true;
      dialler.close();
      renewTimer?.cancel();
      session?.close('the node is closing');
      await saving;
    },
    sidecar: (app) => createRelayedSidecar(line, app),
  };
  return link;
}
