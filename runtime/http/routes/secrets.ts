/** Secrets over HTTP (Dapr HTTP reference, section 12). */

import type { SecretsBlock } from '../../contracts/blocks.ts';
import { goJson } from '../../contracts/go-json.ts';
import { checkMessage } from '../message-fields.ts';
import { jsonReply, NO_CONTENT } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

export function secretHandlers(secrets: SecretsBlock): Pick<HttpHandlers, 'secretGet' | 'secretBulkGet'> {
  return {
    secretGet: async (request) => {
      await checkMessage(request);
      const found = await secrets.get(request.param(0), request.param(1), request.metadata(), request.call);
      return found === undefined ? NO_CONTENT : jsonReply(200, goJson(found));
    },
    secretBulkGet: async (request) => {
      await checkMessage(request);
      const found = await secrets.bulkGet(request.param(0), request.metadata(), request.call);
      return found === undefined ? NO_CONTENT : jsonReply(200, goJson(found));
    },
  };
}
