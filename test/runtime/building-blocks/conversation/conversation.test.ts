/** The conversation block over the echo component, with the recorded answers of daprd. */

import t from 'tap';
import { createEcho } from '../../../../edge-components/conversation/echo/echo.ts';
import { createConversationBlock } from '../../../../runtime/building-blocks/conversation/conversation.ts';
import { scrubPii } from '../../../../runtime/building-blocks/conversation/scrub-pii.ts';
import type { ConverseRequest } from '../../../../runtime/contracts/blocks.ts';
import type {
  ConversationMessage,
  ConversationRequest,
  ConversationResult,
} from '../../../../runtime/contracts/conversation.ts';
import { blockRig, loaded, refusal } from '../../../support/block-rig.ts';

const talk = loaded('conversation', 'talk', { converse: createEcho().converse });
const user = (...content: string[]): ConversationMessage => ({ role: 'user', content });
const TOOL = { function: { name: 'f', description: 'd', parameters: { type: 'object' } } };

const request = (
  messages: readonly ConversationMessage[],
  more: Partial<ConverseRequest> = {},
): ConverseRequest => ({
  messages,
  scrubPii: false,
  tools: [],
  parameters: {},
  metadata: {},
  ...more,
});

async function converse(
  messages: readonly ConversationMessage[],
  more: Partial<ConverseRequest> = {},
): Promise<ConversationResult> {
  const rig = blockRig([talk]);
  return await createConversationBlock(rig).converse('talk', request(messages, more), rig.call);
}

t.test('echo joins the texts of all messages', async (t) => {
  t.strictSame(await converse([user('hello')]), {
    outputs: [{ content: 'hello', finishReason: 'stop' }],
    usage: { completionTokens: 1, promptTokens: 1, totalTokens: 2 },
  });
  t.match(await converse([user('one'), user('two')], { contextId: 'c2' }), {
    outputs: [{ content: 'one\ntwo' }],
    contextId: 'c2',
    usage: { totalTokens: 4 },
  });
  t.strictSame(await converse([]), {
    outputs: [{ content: '', finishReason: 'stop' }],
    usage: { completionTokens: 0, promptTokens: 0, totalTokens: 0 },
  });
});

t.test('echo shows tool answers and calls every tool', async (t) => {
  t.match(await converse([{ role: 'tool', name: 'n', toolId: 't1', content: ['hi'] }]), {
    outputs: [{ content: "Tool Response for tool ID 't1' with name 'n': hi" }],
    usage: { completionTokens: 10, promptTokens: 10, totalTokens: 20 },
  });
  t.strictSame((await converse([user('call it')], { tools: [TOOL], toolChoice: 'auto' })).outputs, [
    { content: 'call it', finishReason: 'tool_calls', toolCalls: [{ id: '0', function: { name: 'f' } }] },
  ]);
  const withArguments = { function: { name: 'g', parameters: { properties: { b: {}, a: {} } } } };
  const earlier = { id: 'x', function: { name: 'h', arguments: '{}' } };
  t.strictSame(
    (
      await converse([{ role: 'assistant', content: [], toolCalls: [earlier] }], {
        tools: [{}, withArguments],
      })
    ).outputs[0]?.toolCalls,
    [{ id: '1', function: { name: 'g', arguments: 'a,b' } }, earlier],
  );
});

t.test('the tool choice must name something that is there', async (t) => {
  const rig = blockRig([talk]);
  const block = createConversationBlock(rig);
  const key = async (more: Partial<ConverseRequest>): Promise<string> =>
    (await refusal(block.converse('talk', request([user('x')], more), rig.call))).code;
  t.equal(await key({ toolChoice: 'required' }), 'ERR_CONVERSATION_INVALID_PARMS');
  t.equal(await key({ toolChoice: 'g', tools: [TOOL] }), 'ERR_CONVERSATION_INVALID_PARMS');
  for (const toolChoice of ['', 'auto', 'none', 'required', 'f'])
    await t.resolves(
      block.converse('talk', request([user('x')], { tools: [TOOL], toolChoice }), rig.call),
      toolChoice,
    );
});

t.test('the component gets the choice, auto where there are tools', async (t) => {
  const seen: ConversationRequest[] = [];
  const spy = loaded('conversation', 'talk', {
    converse: async (given) => {
      seen.push(given);
      return { outputs: [] };
    },
  });
  const rig = blockRig([spy]);
  const block = createConversationBlock(rig);
  await block.converse('talk', request([user('x')], { tools: [TOOL] }), rig.call);
  const answer = await block.converse('talk', request([user('x')], { contextId: 'c1' }), rig.call);
  t.equal(seen[0]?.toolChoice, 'auto');
  t.equal(seen[1]?.toolChoice, undefined);
  t.equal(answer.contextId, 'c1', 'the context of the caller comes back');
});

t.test('failures', async (t) => {
  const broken = loaded('conversation', 'broken', { converse: () => Promise.reject(new Error('no model')) });
  const rig = blockRig([broken]);
  const block = createConversationBlock(rig);
  t.match(await refusal(block.converse('broken', request([user('x')]), rig.call)), {
    status: 500,
    code: 'ERR_CONVERSATION_INVOKE',
    message: 'failed conversing with component broken: no model',
  });
  t.match(await refusal(block.converse('nope', request([user('x')]), rig.call)), {
    status: 400,
    code: 'ERR_CONVERSATION_NOT_FOUND',
    message: 'failed finding conversation component nope',
  });
  const nothing = request([], { withoutInputs: true });
  t.match(await refusal(block.converse('nope', nothing, rig.call)), { code: 'ERR_CONVERSATION_NOT_FOUND' });
  t.match(await refusal(block.converse('broken', nothing, rig.call)), {
    status: 400,
    code: 'ERR_CONVERSATION_MISSING_INPUTS',
  });
  t.strictSame(rig.counted, ['component_conversation_count broken converse false']);
});

t.test('personal data is hidden in the messages that ask for it, and in the answer', async (t) => {
  const mail = user('mail me@home.org now');
  const contents = async (asked: Partial<ConverseRequest>): Promise<unknown> =>
    (await converse([mail], asked)).outputs.map(({ content }) => content);
  t.same(await contents({ scrubPii: true }), ['mail <EMAIL_ADDRESS> now']);
  t.same(await contents({ messages: [{ ...mail, scrubPii: true }] }), ['mail <EMAIL_ADDRESS> now']);
  t.same(await contents({}), ['mail me@home.org now']);
  for (const [text, word] of [
    ['a.b+c@example.co.uk', 'EMAIL_ADDRESS'],
    ['192.168.1.10', 'IP'],
    ['4111 1111 1111 1111', 'CREDIT_CARD'],
    ['4111111111111111', 'CREDIT_CARD'],
    ['078-05-1120', 'US_SSN'],
    ['DE89 3704 0044 0532 0130 00', 'IBAN'],
    ['+4915112345678', 'PHONE_NUMBER'],
    ['555-867-5309', 'PHONE_NUMBER'],
    ['(555) 867-5309', 'PHONE_NUMBER'],
    ['00:1a:2b:3c:4d:5e', 'MAC_ADDRESS'],
    ['2001:db8:0:0:1::1', 'IP'],
  ] as const)
    t.equal(scrubPii(text), `<${word}>`, text);
  for (const text of ['hello, world', 'at 12:30 on 2024-03-01', 'version 1.18.3', 'room 1234, floor 56'])
    t.equal(scrubPii(text), text);
  t.equal(scrubPii('x'.repeat(100_000)).length, 100_000, 'long runs take no long time');
});
