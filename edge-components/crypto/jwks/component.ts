/** `crypto.dapr.jwks/v1`: keys of a JSON Web Key Set. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { duration, metadataSchema, requiredText } from '../../../runtime/contracts/metadata.ts';
import { createJwksCrypto } from './jwks-crypto.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MIN_REFRESH_MS = 600_000;

export const definition = defineComponent({
  category: 'crypto',
  type: 'crypto.dapr.jwks',
  metadata: metadataSchema({
    jwks: requiredText(),
    requestTimeout: duration(DEFAULT_TIMEOUT_MS),
    minRefreshInterval: duration(DEFAULT_MIN_REFRESH_MS),
  }),
  capabilities: [],
  create: (metadata, deps) =>
    createJwksCrypto(
      {
        jwks: metadata.jwks,
        // As in Dapr: smaller values mean the default.
        requestTimeoutMs: metadata.requestTimeout < 1 ? DEFAULT_TIMEOUT_MS : metadata.requestTimeout,
        minRefreshMs:
          metadata.minRefreshInterval < 1000 ? DEFAULT_MIN_REFRESH_MS : metadata.minRefreshInterval,
      },
      deps,
    ),
});
