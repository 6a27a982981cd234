/** The sidecar beside the relay, where the operator named one: its addresses, its token, and the door that nodes come through. */

import { readFile } from 'node:fs/promises';
import type { HeaderList } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import { parseGrpcAddress } from '../grpc-client/address.ts';
import { createGrpcClient } from '../grpc-client/client.ts';
import { createKeepers } from './keepers.ts';
import { type AskSidecar, createSidecarDoor, type SidecarDoor } from './sidecar-door.ts';
import { createSidecarHttp } from './sidecar-http.ts';
import type { AllowList } from './sidecar-rules.ts';
import { createFarSubscriptions } from './sidecar-subscription.ts';

export interface BesideOptions {
  /** Base URL of its HTTP API. */
  readonly http: string | undefined;
  /** Its gRPC address: `host:port`, with `https://` before it for TLS. */
  readonly grpc: string | undefined;
  readonly tokenFile: string | undefined;
  readonly allowed: AllowList;
}

export interface DoorParts extends BesideOptions {
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const REREAD_MS = 1000;
const UNAUTHORIZED = 401;

/** Rejects when the token cannot be read. */
export async function openDoor(parts: DoorParts): Promise<SidecarDoor> {
  const { clock, log, metrics, maxMessageBytes, allowed } = parts;
  const token = await openToken(parts);
  const keepers = createKeepers(clock);
  const http =
    parts.http === undefined
      ? undefined
      : createSidecarHttp({ url: parts.http, token: token.value, maxAnswerBytes: maxMessageBytes, clock });
  const ask: AskSidecar | undefined =
    http &&
    (async (...call) => {
      const answer = await http.ask(...call);
      return answer.status === UNAUTHORIZED && (await token.reread()) ? await http.ask(...call) : answer;
    });
  const client =
    parts.grpc === undefined
      ? undefined
      : createGrpcClient({
          ...parseGrpcAddress(parts.grpc),
          clock,
          limits: { maxMessageBytes },
        });
  const headers = (): HeaderList => {
    const value = token.value();
    return value === '' ? [] : [['dapr-api-token', value]];
  };
  const door = createSidecarDoor({
    allowed,
    ask,
    subscriptions:
      client && createFarSubscriptions({ client, headers, reread: token.reread, maxMessageBytes, keepers }),
    keepers,
    maxMessageBytes,
    clock,
    log,
    metrics,
  });
  return {
    ...door,
    close: () => {
      door.close();
      http?.close();
      void client?.close();
    },
  };
}

interface Token {
  value(): string;
  /** Whether the file holds another token by now. */
  reread(): Promise<boolean>;
}

/** A token that may be replaced in its file while the relay runs. */
async function openToken({ tokenFile, clock, log }: DoorParts): Promise<Token> {
  if (tokenFile === undefined) return { value: () => '', reread: async () => false };
  const read = async (): Promise<string> => (await readFile(tokenFile, 'utf8')).trim();
  let value = await read().catch((cause: unknown) => {
    throw new Error(`--sidecar-api-token-file: ${errorText(cause)}`);
  });
  if (value === '') throw new Error(`--sidecar-api-token-file: ${tokenFile} is empty`);
  let nextMs = 0;
  return {
    value: () => value,
    reread: async () => {
      if (clock.monotonicMs() < nextMs) return false;
      nextMs = clock.monotonicMs() + REREAD_MS;
      const before = value;
      value = await read().catch((error: unknown) => {
        log.warn(`the API token of the sidecar cannot be read again: ${errorText(error)}`);
        return before;
      });
      return value !== before;
    },
  };
}
