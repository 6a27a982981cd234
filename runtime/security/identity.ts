/**
 * The certificate of this sidecar (X.509 SVID): fetched at the start, replaced between 50 and 70 % of its lifetime, so
 * that a fleet does not ask all at once. As long as no new one can be had the old one stays; the key lives in memory only.
 */

import { generateKeyPair, type KeyObject, type X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import type { Clock, Timer } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { Random } from '../contracts/random.ts';
import { type SpiffeId, spiffeIdOfCertificate } from '../contracts/spiffe.ts';
import { certificateRequest } from './csr.ts';
import { parseCertificates } from './pem.ts';
import { SentryError, SentryRefusal } from './sentry.ts';

export interface Identity {
  readonly id: SpiffeId;
  /** PEM, own certificate first. */
  readonly chain: string;
  /** PEM. */
  readonly key: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface IdentityOptions {
  /** Signs a request; resolves with the chain in PEM. */
  readonly sign: (csr: string, signal: AbortSignal) => Promise<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Where the identity survives a restart of the sidecar in the same process; never on disk. */
  readonly memory?: IdentityMemory | undefined;
}

export interface IdentityMemory {
  identity: Identity | undefined;
}

export interface IdentityKeeper {
  readonly current: Identity;
  /** Starts to renew; `changed` is called after every replacement. */
  start(changed: () => void): void;
  close(): Promise<void>;
}

const RENEW_FROM = 0.5;
const RENEW_SPREAD = 0.2;
/** The wall clock is looked at this often: it may be set, and a machine may sleep. */
const LOOK_EVERY_MS = 60_000;
/** Lifetimes that are over at once must not turn into a flood of requests. */
const MIN_INTERVAL_MS = 250;
const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 30_000;
const MAX_START_PAUSE_MS = 5000;

const makeKeyPair = promisify(generateKeyPair);

/** Asks until there is an identity, as daprd does; rejects when sentry refuses one, or with the signal's reason. */
export async function obtainIdentity(options: IdentityOptions, signal: AbortSignal): Promise<IdentityKeeper> {
  const { clock, log, metrics } = options;
  log.info('Fetching initial identity');
  for (let attempt = 0; ; attempt += 1) {
    try {
      const first = await fetchIdentity(options, signal);
      metrics.count('runtime_mtls_init_total', {});
      log.info('Security is initialized successfully');
      return keepIdentity(options, first);
    } catch (cause) {
      signal.throwIfAborted();
      metrics.count('runtime_mtls_init_fail_total', { reason: reasonOf(cause) });
      const text = `failed to retrieve the initial identity: ${errorText(cause)}`;
      if (cause instanceof SentryRefusal) throw new Error(text, { cause });
      const before = options.memory?.identity;
      if (before !== undefined && clock.now() < before.notAfterMs) {
        log.warn(`${text}; the identity of before the restart is used on`);
        return keepIdentity(options, before);
      }
      log.error(`${text}; trying again. The clock of this host says ${timeText(clock.now())}`);
    }
    await clock.sleep(pauseMs(attempt, MAX_START_PAUSE_MS, options.random), signal);
  }
}

function keepIdentity(options: IdentityOptions, first: Identity): IdentityKeeper {
  const { clock, random, log, metrics } = options;
  const closing = new AbortController();
  const { memory } = options;
  let current = first;
  if (memory !== undefined) memory.identity = first;
  let renewAtMs = 0;
  let failures = 0;
  let timer: Timer | undefined;
  let renewing: Promise<void> | undefined;
  let changed = (): void => {};

  const plan = (what: string): void => {
    const { notBeforeMs, notAfterMs } = current;
    // Sentry dates certificates back: of a short one half may be over when it comes. A kept one counts from now as well.
    const startMs = Math.max(notBeforeMs, Math.min(clock.now(), notAfterMs));
    renewAtMs = startMs + (notAfterMs - startMs) * (RENEW_FROM + RENEW_SPREAD * random.float());
    log.info(`${what}; cert expires on: ${timeText(notAfterMs)}, renewal at: ${timeText(renewAtMs)}`);
    wait(renewAtMs - clock.now());
  };
  const wait = (ms: number): void => {
    if (closing.signal.aborted) return;
    timer = clock.startTimer(Math.min(LOOK_EVERY_MS, Math.max(MIN_INTERVAL_MS, ms)), look, true);
  };
  const look = (): void => {
    const leftMs = renewAtMs - clock.now();
    if (leftMs > 0) wait(leftMs);
    else renewing = renew();
  };
  const renew = async (): Promise<void> => {
    log.info(`Renewing workload identity; cert expires on: ${timeText(current.notAfterMs)}`);
    try {
      current = await fetchIdentity(options, closing.signal);
      if (memory !== undefined) memory.identity = current;
      failures = 0;
      metrics.count('runtime_mtls_workload_cert_rotated_total', {});
      changed();
      plan('Successfully renewed workload identity');
    } catch (cause) {
      if (closing.signal.aborted) return;
      metrics.count('runtime_mtls_workload_cert_rotated_fail_total', { reason: reasonOf(cause) });
      const ms = pauseMs(failures, MAX_PAUSE_MS, random);
      failures += 1;
      const expired =
        clock.now() > current.notAfterMs
          ? '; the certificate in use has expired, so that other sidecars refuse it'
          : '';
      log.error(
        `Error renewing identity, trying again in ${(ms / 1000).toFixed(1)} seconds: ${errorText(cause)}${expired}`,
      );
      wait(ms);
    }
  };

  return {
    get current() {
      return current;
    },
    start: (run) => {
      changed = run;
      plan('Starting workload identity expiry watcher');
    },
    close: async () => {
      closing.abort(new Error('the sidecar is closing'));
      timer?.cancel();
      await renewing;
    },
  };
}

async function fetchIdentity(options: IdentityOptions, signal: AbortSignal): Promise<Identity> {
  const { privateKey } = await makeKeyPair('ed25519');
  const chain = await options.sign(certificateRequest(privateKey), signal);
  const [leaf] = readChain(chain);
  if (leaf === undefined || !leaf.checkPrivateKey(privateKey))
    throw new SentryError('sign', 'the certificate from sentry is not for the key of the request');
  const identity = identityOf(leaf, chain, privateKey);
  warnOfClock(identity, options);
  return identity;
}

function readChain(chain: string): readonly X509Certificate[] {
  try {
    return parseCertificates(chain);
  } catch (cause) {
    throw new SentryError('sign', `error parsing newly signed certificate: ${errorText(cause)}`, { cause });
  }
}

function identityOf(leaf: X509Certificate, chain: string, privateKey: KeyObject): Identity {
  try {
    return {
      id: spiffeIdOfCertificate(leaf),
      chain,
      key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
      notBeforeMs: leaf.validFromDate.getTime(),
      notAfterMs: leaf.validToDate.getTime(),
    };
  } catch (cause) {
    const text = `error parsing spiffe id from newly signed certificate: ${errorText(cause)}`;
    throw new SentryError('sign', text, { cause });
  }
}

/** Sentry dates certificates back by its allowed clock skew: beyond that our clock and its own disagree. */
function warnOfClock({ notBeforeMs, notAfterMs }: Identity, { clock, log }: IdentityOptions): void {
  const now = clock.now();
  // X.509 knows whole seconds, and a certificate may live for less than one.
  if (now >= notBeforeMs && now < notAfterMs + 1000) return;
  log.warn(
    `the certificate from sentry is valid from ${timeText(notBeforeMs)} to ${timeText(notAfterMs)}, but the clock of this host says ${timeText(now)}: other sidecars will be refused, or refuse us, until the clocks agree`,
  );
}

function pauseMs(attempt: number, maxMs: number, random: Random): number {
  const full = Math.min(maxMs, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10));
  return full * (0.5 + 0.5 * random.float());
}

function reasonOf(cause: unknown): string {
  return cause instanceof SentryError ? cause.reason : 'sign';
}

function timeText(ms: number): string {
  return Temporal.Instant.fromEpochMilliseconds(Math.trunc(ms)).toString({ smallestUnit: 'second' });
}
