/** Conversation over HTTP, both alpha versions (Dapr HTTP reference, section 18). */

import type { ConversationBlock, ConverseMessage, ConverseRequest } from '../../contracts/blocks.ts';
import type { ConversationMessage, ConversationResult } from '../../contracts/conversation.ts';
import { goJson } from '../../contracts/go-json.ts';
import { FieldError, type JsonObject } from '../json-fields.ts';
import { type MessageFields, readMessage } from '../message-fields.ts';
import { jsonReply } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

type Role = ConversationMessage['role'];

const ROLES: Readonly<Record<string, Role>> = {
  ofDeveloper: 'developer',
  ofSystem: 'system',
  ofUser: 'user',
  ofAssistant: 'assistant',
  ofTool: 'tool',
};
const ROLE_NAMES: ReadonlySet<string> = new Set<Role>(['user', 'system', 'assistant', 'tool', 'developer']);

export function conversationHandlers(
  conversation: ConversationBlock,
): Pick<HttpHandlers, 'converse' | 'converseAlpha2'> {
  return {
    converse: async (request) => {
      const component = request.param(0);
      const given = await readMessage(request, decodeAlpha1);
      const { contextId, outputs } = await conversation.converse(component, given, request.call);
      return jsonReply(
        200,
        goJson({
          ...named('contextID', contextId),
          outputs: outputs.map(({ content }) => named('result', content)),
        }),
      );
    },
    converseAlpha2: async (request) => {
      const component = request.param(0);
      const given = await readMessage(request, decodeAlpha2);
      return jsonReply(
        200,
        goJson(alpha2Answer(await conversation.converse(component, given, request.call))),
      );
    },
  };
}

const named = (name: string, value: string | undefined): JsonObject =>
  value === undefined || value === '' ? {} : { [name]: value };

/** Members that both versions share. */
function decodeCommon(fields: MessageFields, messages: readonly ConverseMessage[]): ConverseRequest {
  const contextId = fields.text('contextID') ?? fields.text('contextId');
  const temperature = fields.number('temperature');
  const toolChoice = fields.text('toolChoice');
  const parameters = fields.raw('parameters') ?? {};
  if (typeof parameters !== 'object' || Array.isArray(parameters))
    throw new FieldError('proto: invalid value for map field parameters');
  const tools = fields.list('tools');
  for (const tool of fields.messages('tools')) tool.message('function').message('parameters');
  return {
    messages,
    scrubPii: scrubs(fields),
    tools,
    parameters: parameters as Readonly<Record<string, unknown>>,
    metadata: fields.textMap('metadata'),
    ...(contextId === undefined ? {} : { contextId }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(toolChoice === undefined ? {} : { toolChoice }),
  };
}

const asked = (input: MessageFields, message: ConversationMessage): ConverseMessage =>
  scrubs(input) ? { ...message, scrubPii: true } : message;
const scrubs = (fields: MessageFields): boolean => {
  const [long, short] = [fields.flag('scrubPII'), fields.flag('scrubPii')];
  return long || short;
};

function decodeAlpha1(fields: MessageFields): ConverseRequest {
  const inputs = fields.messages('inputs');
  const messages = inputs.map((input): ConverseMessage => {
    const role = input.text('role') ?? 'user';
    const content = [input.text('content') ?? ''];
    return asked(input, { role: ROLE_NAMES.has(role) ? (role as Role) : 'user', content });
  });
  return { ...decodeCommon(fields, messages), withoutInputs: inputs.length === 0 };
}

function decodeAlpha2(fields: MessageFields): ConverseRequest {
  const inputs = fields.messages('inputs');
  const messages = inputs.flatMap((input) =>
    input.messages('messages').map((message) => asked(input, decodeMessage(message))),
  );
  return { ...decodeCommon(fields, messages), withoutInputs: inputs.length === 0 };
}

function decodeMessage(fields: MessageFields): ConversationMessage {
  const kind = Object.keys(ROLES).find((name) => fields.has(name));
  const role = kind === undefined ? undefined : ROLES[kind];
  if (kind === undefined || role === undefined) {
    throw new FieldError(`proto: ${fields.placeOf('')} needs one of ${Object.keys(ROLES).join(', ')}`);
  }
  const body = fields.message(kind);
  const name = body.text('name');
  const toolId = body.text('toolId');
  // Members of other kinds of messages are unknown here, and ignored.
  const toolCalls = role === 'assistant' ? body.list('toolCalls') : [];
  return {
    role,
    content: body.messages('content').map((part) => part.text('text') ?? ''),
    ...(name === undefined ? {} : { name }),
    ...(toolId === undefined ? {} : { toolId }),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
  };
}

/** Zero and empty members are left out; 64-bit counters are strings. */
function alpha2Answer(result: ConversationResult): JsonObject {
  const choices = result.outputs.map(({ content, finishReason, toolCalls }, index) => ({
    ...named('finishReason', finishReason),
    ...(index === 0 ? {} : { index: String(index) }),
    message: {
      ...named('content', content),
      ...(toolCalls === undefined || toolCalls.length === 0 ? {} : { toolCalls }),
    },
  }));
  const usage = result.usage === undefined ? {} : { usage: usageJson(result.usage) };
  return {
    ...named('contextId', result.contextId),
    outputs: [{ choices, ...named('model', result.model), ...usage }],
  };
}

function usageJson(usage: NonNullable<ConversationResult['usage']>): JsonObject {
  return Object.fromEntries(
    Object.entries(usage)
      .filter(([, count]) => count > 0)
      .map(([name, count]) => [name, String(count)]),
  );
}
