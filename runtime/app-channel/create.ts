/** Picks the channel for `--app-protocol`. */

import type { AppChannel } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import type { HttpMiddleware } from '../contracts/http-middleware.ts';
import type { Logger } from '../contracts/logger.ts';
import { createGrpcChannel, type GrpcChannel } from './grpc-channel.ts';
import { createHttpChannel } from './http-channel.ts';

export interface AppChannelOptions {
  readonly protocol: AppChannel['protocol'];
  readonly appId: string;
  /** `--app-channel-address`. */
  readonly address: string;
  readonly port: number;
  /** 0: no limit. */
  readonly maxConcurrency: number;
  /** `APP_API_TOKEN`. */
  readonly token?: string;
  /** `appHttpPipeline` of HTTP apps, outermost first. */
  readonly pipeline?: readonly HttpMiddleware[];
  /** Limit of one gRPC message. */
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Makes the channel to an app. */
export function createAppChannel(options: AppChannelOptions): AppChannel {
  const { protocol } = options;
  if (protocol === 'grpc' || protocol === 'grpcs') return createGrpcChannel({ ...options, protocol });
  return createHttpChannel({ ...options, protocol });
}

/** The gRPC channel behind an app channel, for proxied calls; `undefined` for HTTP apps. */
export function asGrpcChannel(channel: AppChannel | undefined): GrpcChannel | undefined {
  return channel !== undefined && 'client' in channel ? (channel as GrpcChannel) : undefined;
}
