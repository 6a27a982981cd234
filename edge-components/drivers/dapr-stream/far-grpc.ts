/** The gRPC connection to a far sidecar: its address as components write it, its token and its TLS. */

import type { HeaderList } from '../../../runtime/contracts/app-channel.ts';
import type { Clock } from '../../../runtime/contracts/clock.ts';
import { parseGrpcAddress } from '../../../runtime/grpc-client/address.ts';
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
  return createGrpcClient({ ...parseGrpcAddress(grpcAddress, credentials.tls), clock, limits });
}

/** The token and whatever else every call carries. */
export function farMetadata({ headers }: FarCredentials): HeaderList {
  return Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
}
