import t from 'tap';
import {
  ConversationRequestAlpha2Schema,
  ConversationRequestSchema,
  ConversationResponseAlpha2Schema,
  ConversationResponseSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/ai_pb.ts';
import { daprCall } from '../../../support/dapr-calls.ts';
import { startDapr } from '../../../support/fake-blocks.ts';

t.test('conversation in both versions', async (t) => {
  const seen: unknown[] = [];
  const toolCall = { id: 'c', function: { name: 'f', arguments: '{}' } };
  const server = await startDapr(t, {
    conversation: {
      converse: async (_name, request) => {
        seen.push(request);
        return {
          outputs: [{ content: 'hi', finishReason: 'stop', toolCalls: [toolCall] }],
          model: 'm',
          usage: { completionTokens: 1, promptTokens: 2, totalTokens: 3 },
        };
      },
    },
  });
  const first = await daprCall(
    server,
    'ConverseAlpha1',
    ConversationRequestSchema,
    ConversationResponseSchema,
    {
      name: 'c',
      contextID: 'x',
      inputs: [
        { content: 'q', role: 'ai' },
        { content: 'r', scrubPII: true },
      ],
    },
  );
  t.match(first.message, { contextID: 'x', outputs: [{ result: 'hi' }] });
  const second = await daprCall(
    server,
    'ConverseAlpha2',
    ConversationRequestAlpha2Schema,
    ConversationResponseAlpha2Schema,
    {
      name: 'c',
      temperature: 0.5,
      toolChoice: 'auto',
      tools: [{ toolTypes: { case: 'function', value: { name: 'f' } } }],
      inputs: [
        {
          messages: [
            { messageTypes: { case: 'ofUser', value: { name: 'me', content: [{ text: 'q' }] } } },
            {
              messageTypes: {
                case: 'ofAssistant',
                value: {
                  toolCalls: [
                    { id: 'c', toolTypes: { case: 'function', value: { name: 'f', arguments: '{}' } } },
                  ],
                },
              },
            },
            { messageTypes: { case: 'ofTool', value: { toolId: 'c', content: [{ text: '1' }] } } },
          ],
        },
      ],
    },
  );
  t.match(second.message?.outputs, [
    {
      choices: [
        {
          finishReason: 'stop',
          message: {
            content: 'hi',
            toolCalls: [{ id: 'c', toolTypes: { case: 'function', value: { name: 'f' } } }],
          },
        },
      ],
      model: 'm',
      usage: { completionTokens: 1n, promptTokens: 2n, totalTokens: 3n },
    },
  ]);
  t.match(seen, [
    {
      messages: [
        { role: 'assistant', content: ['q'] },
        { role: 'user', content: ['r'], scrubPii: true },
      ],
      contextId: 'x',
      scrubPii: false,
    },
    {
      messages: [
        { role: 'user', name: 'me', content: ['q'] },
        { role: 'assistant', toolCalls: [toolCall] },
        { role: 'tool', toolId: 'c', content: ['1'] },
      ],
      temperature: 0.5,
      toolChoice: 'auto',
      tools: [{ function: { name: 'f' } }],
      scrubPii: false,
    },
  ]);
  t.match(
    await daprCall(
      server,
      'ConverseAlpha2',
      ConversationRequestAlpha2Schema,
      ConversationResponseAlpha2Schema,
      { name: 'c', inputs: [{ messages: [{}] }] },
    ),
    { code: 3, text: /message type cannot be nil/ },
  );
  await daprCall(server, 'ConverseAlpha1', ConversationRequestSchema, ConversationResponseSchema, {
    name: 'c',
  });
  t.match(seen.at(-1), { messages: [], withoutInputs: true }, 'the block says so, once it has the component');
});
