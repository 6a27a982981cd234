/**
 * One app of two that only know names, with the official JavaScript SDK: at the edge (ROLE=edge) or in the cloud. What the
 * names stand for is the business of the sidecars. Both say what they found; the one in Python does the same.
 */

import { deepEqual, equal, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { CommunicationProtocolEnum, DaprClient, DaprServer, HttpMethod } from '@dapr/dapr';
import { SILENT } from './app.ts';
import { check, done, failure, until } from './checks.ts';

const { PROTOCOL, ROLE, APP_PORT = '', DAPR_HTTP_PORT = '', DAPR_GRPC_PORT = '' } = process.env;
const isHttp = PROTOCOL === 'http';
const communicationProtocol = isHttp ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC;
const isEdge = ROLE === 'edge';
const [topic, otherTopic, other] = isEdge ? ['down', 'up', 'cloud-app'] : ['up', 'down', 'edge-app'];
const STORE = 'statestore';

interface Note {
  readonly n: number;
}
const heard: Note[] = [];
const server = new DaprServer({
  serverHost: '127.0.0.1',
  serverPort: APP_PORT,
  communicationProtocol,
  clientOptions: { communicationProtocol, logger: SILENT },
  logger: SILENT,
});
await server.pubsub.subscribe('pubsub', topic, async (data: unknown) => void heard.push(data as Note));
await server.invoker.listen('heard', async () => heard, { method: HttpMethod.GET });
await server.invoker.listen('double', async ({ body }) => ({ twice: 2 * JSON.parse(String(body)).n }), {
  method: HttpMethod.POST,
});
await Promise.all([server.start(), once(process.stdin, 'data')]);
const { state, pubsub, binding, invoker, secret, configuration } = new DaprClient({
  daprHost: '127.0.0.1',
  daprPort: isHttp ? DAPR_HTTP_PORT : DAPR_GRPC_PORT,
  communicationProtocol,
  logger: SILENT,
});

const otherHeard = async (n: number): Promise<boolean> => {
  const notes = (await invoker.invoke(other, 'heard', HttpMethod.GET)) as readonly Note[];
  return notes.some((note) => note.n === n);
};
const patiently = <T>(ask: () => Promise<T>): Promise<T | undefined> =>
  until(() => ask().catch(() => undefined));

await check('invoke the other side', async () => {
  deepEqual(await patiently(() => invoker.invoke(other, 'double', HttpMethod.POST, { n: 21 })), {
    twice: 42,
  });
  await failure(invoker.invoke(other, 'not-there', HttpMethod.POST, { n: 1 }));
});

await check(isEdge ? 'publish up' : 'publish down', async () => {
  let n = 0;
  // The cloud's broker forgets what nobody has subscribed to yet.
  await until(async () => {
    n += 1;
    const { error } = await pubsub.publish('pubsub', otherTopic, { n });
    if (error) throw error;
    return await otherHeard(n);
  });
});

await check(isEdge ? 'events down' : 'events up', async () => {
  const [note] = await until(() => heard.length > 0 && heard);
  ok(note !== undefined && note.n > 0);
});

if (isEdge) {
  await check('state of the cloud: save, get, transaction', async () => {
    // Over gRPC a text is saved as its bare bytes.
    await state.save(STORE, [
      { key: 'gone', value: 'x' },
      { key: 'text', value: 'plain words' },
    ]);
    equal(await state.get(STORE, 'text'), 'plain words');
    const found = await state.getBulk(STORE, ['text', 'never']);
    equal(found.find(({ key }) => key === 'text')?.['data'], 'plain words');
    await state.transaction(STORE, [
      { operation: 'upsert', request: { key: 'shared', value: '"edge"' } },
      { operation: 'delete', request: { key: 'gone' } },
    ]);
    match(await state.get(STORE, 'shared'), 'edge');
    ok(!(await state.get(STORE, 'gone')), 'not deleted');
  });
  await check('a binding of the cloud', async () => {
    await binding.send('files', 'create', { from: 'edge' }, { fileName: 'edge.json' });
  });
} else {
  await check('state that the edge wrote', async () => {
    match(await until(async () => (await state.get(STORE, 'shared')) || undefined), 'edge');
    match(await state.get(STORE, 'text'), 'plain words');
  });
  await check('a binding that the edge used', async () => {
    const read = await patiently(() => binding.send('files', 'get', '', { fileName: 'edge.json' }));
    const text = isHttp ? JSON.stringify(read) : Buffer.from((read as { data: Uint8Array }).data).toString();
    deepEqual(JSON.parse(text), { from: 'edge' });
  });
}

await check('secrets', async () => {
  deepEqual(await secret.get('vault', 'door'), { door: 'sesame' });
  await failure(secret.get('vault', 'window'));
});

// Over HTTP the SDK has no configuration.
if (!isHttp) {
  await check('configuration: get and subscribe', async () => {
    equal((await configuration.get('settings', ['limit'])).items['limit']?.value, '10');
    const seen = new Set<string>();
    const take = async ({ items }: { items: Record<string, { value: string }> }): Promise<void> => {
      for (const { value } of Object.values(items)) seen.add(value);
    };
    const stream = await configuration.subscribeWithKeys('settings', ['ticker'], take);
    await until(() => seen.size >= 2);
    stream.stop();
  });
}

/** A text in a transaction arrives with the quotes that it was given, or without. */
function match(found: unknown, expected: string): void {
  equal(String(found).replaceAll('"', ''), expected);
}

done();
// The other one may still call.
process.stdin.on('end', () => process.exit(0)).resume();
