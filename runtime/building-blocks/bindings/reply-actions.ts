/**
 * Acts on the reply to an input event: saves `state` in `storeName`, then calls the output bindings in `to` with
 * `data`. gRPC apps always have it for `to`; HTTP apps have it where the component's metadata item `replyActions` says
 * so (on by default for device bindings, off for others as in daprd, which ignores HTTP replies).
 */

import type { BindingReply } from '../../contracts/app-channel.ts';
import type { BindingsBlock, StateBlock } from '../../contracts/blocks.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import { type LoadedComponent, metadataItem } from '../../contracts/component-source.ts';
import { isTruthy } from '../../contracts/metadata.ts';
import type { ReplyActions } from './input.ts';

export interface ReplyActionDeps {
  readonly state: StateBlock;
  readonly bindings: BindingsBlock;
  /** A context for calls that the runtime makes by itself. */
  readonly context: (signal: AbortSignal) => CallContext;
}

/** Device bindings: their apps are written against the documented reply object. */
const ON_BY_DEFAULT = new Set(['bindings.mqtt3', 'bindings.mqtt']);

export function createReplyActions(deps: ReplyActionDeps): ReplyActions {
  return {
    run: async (component, reply, signal) => {
      if (!enabled(component, reply)) return;
      const call = deps.context(signal);
      if (
        reply.storeName !== undefined &&
        reply.storeName !== '' &&
        reply.states !== undefined &&
        reply.states.length > 0
      ) {
        const items = reply.states.map(({ key, value }) => ({
          key,
          value: { bytes: value, json: reply.httpStatus !== undefined },
          options: { concurrency: '', consistency: '' },
          metadata: {},
        }));
        await deps.state.save(reply.storeName, items, call);
      }
      const data = reply.outputData ?? reply.data ?? new Uint8Array();
      const request = { operation: 'create', data, metadata: {} };
      const targets = reply.to ?? [];
      if (reply.concurrency === 'parallel')
        await Promise.all(targets.map((target) => deps.bindings.invoke(target, request, call)));
      else for (const target of targets) await deps.bindings.invoke(target, request, call);
    },
  };
}

function enabled(component: LoadedComponent<'bindings'>, reply: BindingReply): boolean {
  if (reply.httpStatus === undefined) return true;
  const setting = metadataItem(component, 'replyActions');
  return setting === undefined ? ON_BY_DEFAULT.has(component.type.toLowerCase()) : isTruthy(setting);
}
