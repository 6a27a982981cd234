/** `nameresolution.mdns`: the definition that the catalog loads. */

import { hostname } from 'node:os';
import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema } from '../../../runtime/contracts/metadata.ts';
import { openMulticastSocket } from '../../drivers/mdns/multicast-socket.ts';
import { createMdnsResolver } from './mdns.ts';

export const definition = defineComponent({
  category: 'nameresolution',
  type: 'nameresolution.mdns',
  metadata: metadataSchema({}),
  capabilities: [],
  create: (_metadata, { clock, log }) =>
    createMdnsResolver({
      clock,
      log,
      hostName: hostname(),
      pid: process.pid,
      openSocket: openMulticastSocket,
    }),
});
