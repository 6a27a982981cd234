/** `nameresolution.kubernetes`: the definition that the catalog loads. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { createKubernetesResolver } from './kubernetes.ts';
import { nameKubernetesMetadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'nameresolution',
  type: 'nameresolution.kubernetes',
  metadata: nameKubernetesMetadata,
  capabilities: [],
  create: (metadata, deps) => createKubernetesResolver(metadata, deps),
});
