/** Picks the channel for `--app-protocol`. */

import type { AppChannel } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import type { HttpMiddleware } from '../contracts/http-middleware.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import { type ClientMetricsOptions, createClientMetrics } from './client-metrics.ts';
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
  readonly pipeline?: () => readonly HttpMiddleware[];
  /** Where calls to HTTP apps are counted; absent: nowhere. */
  readonly metrics?: Metrics;
  /** Labels of such a call; absent: verb and path as they are. */
  readonly metricLabel?: ClientMetricsOptions['label'];
  /** Limit of one gRPC message. */
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Makes the channel to an app. */
export function createAppChannel(options: AppChannelOptions): AppChannel {
  const { protocol } = options;
  if (protocol === 'grpc' || protocol === 'grpcs') return createGrpcChannel({ ...options, protocol });
  const { metrics, metricLabel: label, clock } = options;
  if (metrics === undefined) return createHttpChannel({ ...options, protocol });
  const clientMetrics = createClientMetrics({ metrics, clock, ...(label === undefined ? {} : { label }) });
  return createHttpChannel({ ...options, protocol, clientMetrics });
}

/** The gRPC channel behind an app channel, for proxied calls; `undefined` for HTTP apps. */
export function asGrpcChannel(channel: AppChannel | undefined): GrpcChannel | undefined {
  return channel !== undefined && 'client' in channel ? (channel as GrpcChannel) : undefined;
}
