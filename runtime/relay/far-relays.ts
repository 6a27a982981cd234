/**
 * Relays among each other: a port with mutual TLS by certificates of the common authority, in which a relay is marked as one, so
 * that no node can pose as one. A call is handed over once: whoever gets it here has the link or refuses.
 */

import { generateKeyPairSync } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { HeaderList } from '../contracts/app-channel.ts';
import type { Timer } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Credentials, ServerTls } from '../contracts/mesh-security.ts';
import { createGrpcServer } from '../grpc/server.ts';
import type { GrpcStream } from '../grpc-client/call.ts';
import { createGrpcClientPool } from '../grpc-client/client.ts';
import type { Authority } from '../security/authority.ts';
import { verifiedBy } from '../security/server-identity.ts';
import { type CloudPortOptions, forwardedCall } from './cloud-side.ts';
import type { ForwardedCall } from './forward.ts';
import type { FarRelay } from './link-rows.ts';
import { isRelayPath, relayUri } from './protocol.ts';

export interface FarRelaysOptions extends Omit<CloudPortOptions, 'app'> {
  readonly id: string;
  readonly authority: Authority;
  readonly trustDomain: string;
}

export interface FarRelays {
  /** Listens for other relays; resolves with the port. */
  listen(): Promise<number>;
  /** Hands a call over; rejects with Unavailable where the relay cannot be reached. */
  open(relay: FarRelay, call: ForwardedCall, metadata: HeaderList): Promise<GrpcStream>;
  close(): Promise<void>;
}

const LIFETIME_MS = 30 * 86_400_000;
const SKEW_MS = 3_600_000;
const CONNECT_LIMIT_MS = 2000;
const CLOSE_GRACE_MS = 1000;
/** Nobody's namespace: relays are told apart by their ids alone. */
const NAMESPACE = '';

export function createFarRelays(options: FarRelaysOptions): FarRelays {
  const { id, authority, trustDomain, clock, log, maxMessageBytes } = options;
  const listeners = new Set<() => void>();
  const issue = (): Credentials => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const now = clock.now();
    const names = { commonName: id, uris: [relayUri(trustDomain, id)], usage: 'both' as const };
    const validity = { fromMs: now - SKEW_MS, toMs: now + LIFETIME_MS };
    return {
      cert: authority.issue(publicKey, names, validity),
      key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
      ca: authority.certificates,
      minVersion: 'TLSv1.3',
    };
  };
  let credentials = issue();
  let context = createSecureContext({ ...credentials, allowPartialTrustChain: true });
  let timer: Timer;
  const renewLater = (): void => {
    timer = clock.startTimer(
      LIFETIME_MS / 4,
      () => {
        credentials = issue();
        context = createSecureContext({ ...credentials, allowPartialTrustChain: true });
        for (const run of listeners) run();
        renewLater();
      },
      true,
    );
  };
  renewLater();

  const tls: ServerTls = {
    credentials: () => credentials,
    onChange: (run) => {
      listeners.add(run);
      return () => void listeners.delete(run);
    },
  };
  const server = createGrpcServer({
    tracer: options.tracer,
    metrics: options.metrics,
    clock,
    log,
    maxMessageBytes,
    protocol: 'internal',
    addresses: [options.address],
    port: options.port,
    services: [],
    tls,
    unknownMethod: (call) => {
      if (call.callerId?.trustDomain !== trustDomain || !isRelayPath(call.callerId.path)) {
        log.warn('a call at the port of relays came from somebody else', { caller: call.callerId?.text });
        throw new GrpcStatusError(GrpcCode.PermissionDenied, 'this port is for relays');
      }
      return options.switchboard().fromRelay(forwardedCall(call));
    },
  });
  const clients = createGrpcClientPool({
    clock,
    limits: { maxMessageBytes, connectTimeoutMs: CONNECT_LIMIT_MS },
    dial: ({ appId }) => ({
      ...verifiedBy((shown) => shown.text === relayUri(trustDomain, appId)),
      secureContext: context,
    }),
  });

  return {
    listen: () => server.listen(),
    open: (relay, call, metadata) =>
      clients.client(relay.address, { namespace: NAMESPACE, appId: relay.id }).bidi(call.path, {
        metadata,
        signal: call.signal,
        contentType: call.contentType,
        ...(call.remainingMs === undefined ? {} : { timeoutMs: call.remainingMs }),
      }),
    async close() {
      timer.cancel();
      await Promise.all([server.close(CLOSE_GRACE_MS), clients.close()]);
    },
  };
}
