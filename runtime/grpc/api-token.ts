/** The API token check (gRPC reference, section 1.1). */

import { timingSafeEqual } from 'node:crypto';
import type { HeaderList } from '../contracts/app-channel.ts';
import { metadataValue } from '../contracts/grpc-wire/metadata.ts';
import { statusOfHttpFailure } from './status.ts';

export const API_TOKEN_NAME = 'dapr-api-token';

/** Throws when the metadata does not carry the token; otherwise returns the metadata without it. */
export function checkApiToken(metadata: HeaderList, token: string): HeaderList {
  const given = metadataValue(metadata, API_TOKEN_NAME);
  if (given === undefined) throw statusOfHttpFailure(401, 'missing api token in request metadata');
  if (!sameText(given, token)) throw statusOfHttpFailure(401, 'authentication error: api token mismatch');
  return metadata.filter(([name]) => name !== API_TOKEN_NAME);
}

function sameText(given: string, expected: string): boolean {
  const left = Buffer.from(given);
  const right = Buffer.from(expected);
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}
