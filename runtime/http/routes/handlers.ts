/** The handler of every operation that has an HTTP route. */

import type { Blocks } from '../../contracts/blocks.ts';
import type { HttpHandlers } from '../router.ts';
import { actorHandlers } from './actors.ts';
import { bindingHandlers } from './bindings.ts';
import { configurationHandlers } from './configuration.ts';
import { conversationHandlers } from './conversation.ts';
import { cryptoHandlers } from './crypto.ts';
import { type InvokeRouteOptions, invokeHandlers } from './invoke.ts';
import { jobHandlers } from './jobs.ts';
import { lockHandlers } from './lock.ts';
import { metadataHandlers } from './metadata.ts';
import { nodeHandlers } from './node.ts';
import { publishHandlers } from './publish.ts';
import { secretHandlers } from './secrets.ts';
import { spoolHandlers } from './spool.ts';
import { stateHandlers } from './state.ts';
import { syncHandlers } from './sync.ts';
import { workflowHandlers } from './workflow.ts';

export interface HandlerOptions extends InvokeRouteOptions {
  readonly appId: string;
}

/** Binds the routes to the blocks. */
export function createHandlers(blocks: Blocks, options: HandlerOptions): HttpHandlers {
  return {
    ...stateHandlers(blocks.state),
    ...publishHandlers(blocks.publish, options.appId),
    ...bindingHandlers(blocks.bindings),
    ...invokeHandlers(blocks.invoke, options),
    ...actorHandlers(blocks.actors),
    ...secretHandlers(blocks.secrets),
    ...configurationHandlers(blocks.configuration),
    ...lockHandlers(blocks.lock),
    ...cryptoHandlers(blocks.crypto),
    ...workflowHandlers(blocks.workflow),
    ...jobHandlers(blocks.jobs, options.appId),
    ...conversationHandlers(blocks.conversation),
    ...metadataHandlers(blocks.metadata),
    ...nodeHandlers(blocks.health, blocks.node),
    ...spoolHandlers(blocks.node),
    ...syncHandlers(blocks.node),
  };
}
