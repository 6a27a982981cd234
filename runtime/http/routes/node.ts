/** Health, shutdown (Dapr HTTP reference, section 20). */

import type { HealthBlock, NodeBlock } from '../../contracts/blocks.ts';
import { NO_CONTENT } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

type NodeHandlers = Pick<HttpHandlers, 'health' | 'healthOutbound' | 'shutdown'>;

export function nodeHandlers(health: HealthBlock, node: NodeBlock): NodeHandlers {
  return {
    health: (request) => {
      health.check(request.query === '' ? undefined : request.queryValue('appid'));
      return NO_CONTENT;
    },
    healthOutbound: () => {
      health.checkOutbound();
      return NO_CONTENT;
    },
    shutdown: (request) => {
      const force = request.header('dapr-force-shutdown').toLowerCase() === 'true';
      return { ...NO_CONTENT, afterSent: () => node.shutdown(force) };
    },
  };
}
