/** `state.dapr`: state of another sidecar: over there, with copies for reading, or here first. Not a Dapr type. */

import { z } from 'zod';
import { defineComponent } from '../../../runtime/contracts/component.ts';
import { duration, integer, metadataSchema, quantity, text } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createFarSidecar } from '../../drivers/dapr-api/far-sidecar.ts';
import { createCachedState } from './cached-state.ts';
import { createLocalState } from './local-state.ts';
import { createRemoteState, FEATURES } from './remote-state.ts';

export const definition = defineComponent({
  category: 'state',
  type: 'state.dapr',
  metadata: metadataSchema(
    {
      ...connectionItems,
      remoteKeyPrefix: text(''),
      grpcAddress: text(''),
      mode: z
        .enum(['remote', 'cached', 'local-first'], { error: 'expected remote, cached or local-first' })
        .default('remote'),
      cacheMaxEntries: integer(10_000, 1),
      queueMaxMessages: integer(100_000, 1),
      queueMaxBytes: quantity(256 * 1024 * 1024),
      refreshAfter: duration(30_000),
    },
    { aliases: { url: 'baseUrl' } },
  ),
  capabilities: FEATURES,
  create: (metadata, deps) => {
    const far = createFarSidecar(metadata, deps);
    const remote = createRemoteState(metadata, deps, far);
    if (metadata.mode === 'local-first') return createLocalState(remote, far, metadata, deps);
    return metadata.mode === 'cached' ? createCachedState(remote, metadata.cacheMaxEntries, deps) : remote;
  },
});
