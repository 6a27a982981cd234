/** The gRPC connection to a far sidecar: its address as components write it, its token and its TLS. */

import type { ConnectionOptions } from 'node:tls';
import type { HeaderList } from '../../../runtime/contracts/app-channel.ts';
import type { Clock } from '../../../runtime/contracts/clock.ts';
import {
  createGrpcClient,
  type GrpcClient,
  type GrpcClientOptions,
} from '../../../runtime/grpc-client/client.ts';
import type { FarCredentials } from '../dapr-api/far-sidecar.ts';

export interface FarGrpcAddress {
  /** `host:port`, or `https://host:port` for TLS. */
  readonly grpcAddress: string;
  readonly credentials: FarCredentials;
}

export function createFarGrpcClient(
  { grpcAddress, credentials }: FarGrpcAddress,
  clock: Clock,
  limits: NonNullable<GrpcClientOptions['limits']> = {},
): GrpcClient {
  const secure = /^https:\/\//i.test(grpcAddress);
  const target = grpcAddress.replace(/^(?:https?:\/\/|dns:(?:\/\/\/)?)/i, '').replace(/\/+$/, '');
  const tls: ConnectionOptions = { ...credentials.tls, minVersion: 'TLSv1.2' };
  return createGrpcClient({ target, clock, ...(secure ? { tls } : {}), limits });
}

/** The token and whatever else every call carries. */
export function farMetadata({ headers }: FarCredentials): HeaderList {
  return Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
}
