/** Conversation with language models (gRPC reference, section 2.9), in both versions of the API. */

import { fromJson, type JsonValue, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import type { ConverseMessage, ConverseRequest } from '../../contracts/blocks.ts';
import type { ConversationMessage, ConversationResult } from '../../contracts/conversation.ts';
import { runtimeError } from '../../contracts/error.ts';
import {
  type ConversationInput,
  ConversationRequestAlpha2Schema,
  ConversationRequestSchema,
  ConversationResponseAlpha2Schema,
  ConversationResponseSchema,
  type ConversationResultAlpha2CompletionUsageSchema,
  type ConversationResultAlpha2Schema,
  ConversationToolCallsSchema,
  ConversationToolsSchema,
  type ConversationMessage as MessageAlpha2,
} from '../../generated/dapr/proto/runtime/v1/ai_pb.ts';
import { type Operations, type ServiceDeps, unary } from './method.ts';

const ROLES: Readonly<Record<string, ConversationMessage['role']>> = {
  system: 'system',
  assistant: 'assistant',
  ai: 'assistant',
  tool: 'tool',
  function: 'tool',
};

/** The conversation operations. */
export function conversationOperations({
  blocks: { conversation },
}: ServiceDeps): Operations<'converse' | 'converseAlpha2'> {
  return {
    converse: unary(ConversationRequestSchema, ConversationResponseSchema, async (request, call) => {
      const asked = commonOf(request, request.contextID, request.scrubPII === true);
      const messages = request.inputs.map((input) => scrubbing(input.scrubPII, messageOfInput(input)));
      const result = await conversation.converse(
        request.name,
        { ...asked, messages, tools: [], withoutInputs: request.inputs.length === 0 },
        call,
      );
      return {
        ...(asked.contextId === undefined ? {} : { contextID: asked.contextId }),
        outputs: result.outputs.map(({ content }) => ({ result: content, parameters: request.parameters })),
      };
    }),
    converseAlpha2: unary(
      ConversationRequestAlpha2Schema,
      ConversationResponseAlpha2Schema,
      async (request, call) => {
        const asked = commonOf(request, request.contextId, request.scrubPii === true);
        const messages = request.inputs.flatMap((input) =>
          input.messages.map((message) => scrubbing(input.scrubPii, messageOf(request.name, message))),
        );
        const tools = request.tools.map((tool) => toJson(ConversationToolsSchema, tool));
        const toolChoice = request.toolChoice === undefined ? {} : { toolChoice: request.toolChoice };
        const result = await conversation.converse(
          request.name,
          { ...asked, messages, tools, ...toolChoice, withoutInputs: request.inputs.length === 0 },
          call,
        );
        return {
          ...(asked.contextId === undefined ? {} : { contextId: asked.contextId }),
          outputs: outputsOf(result),
        };
      },
    ),
  };
}

function commonOf(
  request: { readonly temperature?: number | undefined; readonly metadata: Record<string, string> },
  contextId: string | undefined,
  scrubPii: boolean,
): Omit<ConverseRequest, 'messages' | 'tools'> {
  return {
    scrubPii,
    parameters: {},
    metadata: request.metadata,
    ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
    ...(contextId === undefined || contextId === '' ? {} : { contextId }),
  };
}

function scrubbing(scrub: boolean | undefined, message: ConversationMessage): ConverseMessage {
  return scrub === true ? { ...message, scrubPii: true } : message;
}

function messageOfInput(input: ConversationInput): ConversationMessage {
  return { role: ROLES[input.role ?? ''] ?? 'user', content: [input.content] };
}

function messageOf(component: string, message: MessageAlpha2): ConversationMessage {
  const kind = message.messageTypes;
  const refused = (error: string): Error => runtimeError('conversationInvalidParams', { component, error });
  if (kind.case === undefined) throw refused('message type cannot be nil');
  const content = kind.value.content.map(({ text }) => text);
  const name = kind.value.name === undefined || kind.value.name === '' ? {} : { name: kind.value.name };
  switch (kind.case) {
    case 'ofDeveloper':
      return { role: 'developer', content, ...name };
    case 'ofSystem':
      return { role: 'system', content, ...name };
    case 'ofUser':
      return { role: 'user', content, ...name };
    case 'ofAssistant': {
      const calls = kind.value.toolCalls;
      if (calls.some(({ toolTypes }) => toolTypes.case === undefined))
        throw refused('tool types cannot be nil');
      return {
        role: 'assistant',
        content,
        ...name,
        toolCalls: calls.map((made) => toJson(ConversationToolCallsSchema, made)),
      };
    }
    case 'ofTool':
      return {
        role: 'tool',
        content,
        ...name,
        ...(kind.value.toolId === undefined ? {} : { toolId: kind.value.toolId }),
      };
    default:
      throw refused('message type is not known');
  }
}

/** One output whose choices are what the component said. */
function outputsOf(result: ConversationResult): MessageInitShape<typeof ConversationResultAlpha2Schema>[] {
  const choices = result.outputs.map(({ content, finishReason, toolCalls = [] }, index) => ({
    finishReason,
    index: BigInt(index),
    message: {
      content,
      toolCalls: toolCalls.map((made) => fromJson(ConversationToolCallsSchema, made as JsonValue)),
    },
  }));
  const { model = '', usage } = result;
  return [
    {
      choices,
      ...(model === '' ? {} : { model }),
      ...(usage === undefined ? {} : { usage: usageOf(usage) }),
    },
  ];
}

function usageOf(
  usage: NonNullable<ConversationResult['usage']>,
): MessageInitShape<typeof ConversationResultAlpha2CompletionUsageSchema> {
  return {
    completionTokens: BigInt(usage.completionTokens),
    promptTokens: BigInt(usage.promptTokens),
    totalTokens: BigInt(usage.totalTokens),
  };
}
