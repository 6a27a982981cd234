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
      conflictPubsub: text(''),
      conflictTopic: text(''),
    },
    { aliases: { url: 'baseUrl' } },
  ),
  capabilities: FEATURES,
  create: (metadata, deps) => {
    checkConflictTopic(metadata);
    const far = createFarSidecar(metadata, deps);
    const remote = createRemoteState(metadata, deps, far);
    if (metadata.mode === 'local-first') return createLocalState(remote, far, metadata, deps);
    return metadata.mode === 'cached' ? createCachedState(remote, metadata.cacheMaxEntries, deps) : remote;
  },
});

function checkConflictTopic({ mode, conflictPubsub, conflictTopic }: ConflictItems): void {
  if (conflictPubsub === '' && conflictTopic === '') return;
  if (conflictTopic === '')
    throw new Error("metadata item 'conflictTopic': expected a topic, since conflictPubsub is set");
  if (conflictPubsub === '')
    throw new Error(
      "metadata item 'conflictPubsub': expected the name of a pub/sub component, since conflictTopic is set",
    );
  if (mode !== 'local-first')
    throw new Error("metadata item 'conflictTopic': only with mode local-first, other modes refuse at once");
}

interface ConflictItems {
  readonly mode: string;
  readonly conflictPubsub: string;
  readonly conflictTopic: string;
}
