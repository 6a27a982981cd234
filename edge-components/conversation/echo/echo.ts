/** A conversation component without a model: the texts of all messages, joined by line feeds, are the answer. */

import type {
  Conversation,
  ConversationMessage,
  ConversationRequest,
} from '../../../runtime/contracts/conversation.ts';

export function createEcho(): Conversation {
  return {
    init: async () => {},
    close: async () => {},
    converse: async (request) => {
      const content = request.messages.flatMap(textsOf).join('\n');
      const toolCalls = [
        ...request.tools.flatMap(callOfTool),
        ...request.messages.flatMap((message) => message.toolCalls ?? []),
      ];
      const words = content.split(/\s+/).filter((word) => word !== '').length;
      return {
        outputs: [
          {
            content,
            finishReason: toolCalls.length === 0 ? 'stop' : 'tool_calls',
            ...(toolCalls.length === 0 ? {} : { toolCalls }),
          },
        ],
        usage: { completionTokens: words, promptTokens: words, totalTokens: words + words },
        ...(request.contextId === undefined ? {} : { contextId: request.contextId }),
      };
    },
  };
}

function textsOf(message: ConversationMessage): readonly string[] {
  if (message.role !== 'tool') return message.content;
  return message.content.map(
    (text) =>
      `Tool Response for tool ID '${message.toolId ?? ''}' with name '${message.name ?? ''}': ${text}`,
  );
}

type Tool = ConversationRequest['tools'][number];

/** Every tool is called once; its arguments are the names of its parameters. */
function callOfTool(tool: Tool, index: number): readonly unknown[] {
  const given = (tool as { readonly function?: Readonly<Record<string, unknown>> } | null)?.function;
  if (given === undefined || given === null) return [];
  const parameters = (given['parameters'] ?? {}) as { readonly properties?: unknown };
  const { properties = {} } = parameters;
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties))
    throw new Error(`properties of tool '${given['name']}': expected an object`);
  const names = Object.keys(properties).sort().join(',');
  return [
    {
      id: String(index),
      function: { name: String(given['name'] ?? ''), ...(names === '' ? {} : { arguments: names }) },
    },
  ];
}
