/** Conversation: check what the caller asks for, call the component under its policy (HTTP reference, section 18). */

import type { ConversationBlock, ConverseRequest } from '../../contracts/blocks.ts';
import type { ComponentSource } from '../../contracts/component-source.ts';
import type { ConversationRequest, ConversationResult } from '../../contracts/conversation.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import { type ComponentCallDeps, callComponent } from '../component-call.ts';
import { scrubPii } from './scrub-pii.ts';

export interface ConversationBlockDeps extends ComponentCallDeps {
  readonly appId: string;
  readonly components: ComponentSource;
}

/** `auto` when there are tools and nothing else was said. */
function toolChoiceOf(component: string, request: ConverseRequest): string {
  const choice = request.toolChoice ?? '';
  if (choice === '') return request.tools.length > 0 ? 'auto' : '';
  if (choice === 'auto' || choice === 'none') return choice;
  if (choice === 'required') {
    if (request.tools.length > 0) return choice;
    throw runtimeError('conversationInvalidParams', {
      component,
      error:
        "tool choice must be 'auto', 'none', 'required', or a specific tool name matching the tools available to be used",
    });
  }
  if (request.tools.length > 0 && !request.tools.some((tool) => toolName(tool) === choice)) {
    throw runtimeError('conversationInvalidParams', {
      component,
      error:
        "tool choice selected was not found. Must be 'auto', 'none', 'required', or a specific tool name matching the tools available to be used",
    });
  }
  return choice;
}

function toolName(tool: unknown): unknown {
  return (tool as { readonly function?: { readonly name?: unknown } } | null)?.function?.name;
}

function componentRequest(request: ConverseRequest, toolChoice: string): ConversationRequest {
  const { scrubPii: _answer, toolChoice: _given, withoutInputs: _none, messages, ...rest } = request;
  return {
    ...rest,
    messages: messages.map(({ scrubPii: scrub, ...message }) =>
      scrub === true ? { ...message, content: message.content.map(scrubPii) } : message,
    ),
    ...(toolChoice === '' ? {} : { toolChoice }),
  };
}

function scrubbed(result: ConversationResult): ConversationResult {
  const outputs = result.outputs.map((output) => ({ ...output, content: scrubPii(output.content) }));
  return { ...result, outputs };
}

export function createConversationBlock(deps: ConversationBlockDeps): ConversationBlock {
  return {
    converse: async (name, request, call) => {
      const component = deps.components.get('conversation', name);
      if (component === undefined) throw runtimeError('conversationNotFound', { component: name });
      if (request.withoutInputs === true)
        throw runtimeError('conversationMissingInputs', { component: name });
      const asked = componentRequest(request, toolChoiceOf(name, request));
      let result: ConversationResult;
      try {
        result = await callComponent(deps, 'Conversation', name, 'converse', call, (signal) =>
          component.instance.converse(asked, signal),
        );
      } catch (error) {
        throw runtimeError(
          'conversationInvoke',
          { component: name, error: errorText(error) },
          { cause: error },
        );
      }
      const answer = request.scrubPii ? scrubbed(result) : result;
      // The context is the caller's: it comes back also from components that do not keep one.
      return answer.contextId === undefined && request.contextId !== undefined && request.contextId !== ''
        ? { ...answer, contextId: request.contextId }
        : answer;
    },
  };
}
