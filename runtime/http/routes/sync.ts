/** How the flows of Sync resources stand, and another turn for those that rest with an error. */

import type { NodeBlock } from '../../contracts/blocks.ts';
import { jsonReply } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

type SyncHandlers = Pick<HttpHandlers, 'syncStatus' | 'syncRetry'>;

export function syncHandlers(node: NodeBlock): SyncHandlers {
  const json = (status: number, value: object) => jsonReply(status, `${JSON.stringify(value)}\n`);
  return {
    syncStatus: async () => json(200, { flows: (await node.sync?.status()) ?? [] }),
    syncRetry: async (request) => {
      const flow = request.queryValue('flow');
      const wanted = flow === undefined || flow === '' ? undefined : flow;
      const woken = node.sync?.retry(wanted) ?? 0;
      if (wanted === undefined || woken > 0) return json(200, { woken });
      return json(404, { errorCode: 'ERR_SYNC_FLOW_NOT_FOUND', message: `there is no flow ${wanted}` });
    },
  };
}
