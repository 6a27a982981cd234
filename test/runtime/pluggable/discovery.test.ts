import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { definition as inMemory } from '../../../edge-components/state/in-memory/component.ts';
import { createRegistry } from '../../../runtime/components/registry.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { pluggableDefinitions } from '../../../runtime/pluggable/sockets.ts';
import { socketFolder } from '../../support/pluggable-rig.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

t.test('a type is named by category and socket, whatever the letter case and the extension', async (t) => {
  const { start, definitions } = socketFolder(t);
  await start('My.Store.sock');
  for (const category of ['state', 'pubsub', 'bindings', 'secretstores'])
    t.match(await definitions.find(`${category}.my.store`), { category, type: `${category}.my.store` });
  t.equal(await definitions.find('state.my'), undefined, 'only the last extension is left out');
  t.equal(await definitions.find('lock.my.store'), undefined, 'no protocol for locks');
});

t.test('a socket that does not serve the category is none of its components', async (t) => {
  const { start, definitions } = socketFolder(t);
  await start('half.sock', { serves: ['OutputBinding'] });
  t.equal(await definitions.find('state.half'), undefined);
  t.equal((await definitions.find('bindings.half'))?.category, 'bindings');
});

for (const reflection of ['v1alpha', 'v1'] as const)
  t.test(`reflection ${reflection} alone is enough`, async (t) => {
    const { start, definitions } = socketFolder(t);
    await start('old.sock', { reflection });
    t.equal((await definitions.find('state.old'))?.category, 'state');
  });

t.test('a server without reflection is named with its reason', async (t) => {
  const { start, definitions } = socketFolder(t);
  await start('mute.sock', { reflection: 'v2' as never });
  await t.rejects(definitions.find('state.mute'), {
    message:
      /unable to list services of the pluggable component at .*mute\.sock: rpc error: code = Unimplemented/,
  });
});

t.test('no folder, and files that are no sockets', async (t) => {
  const { folder, log, definitions } = socketFolder(t);
  writeFileSync(join(folder, 'plain.sock'), '');
  t.equal(await definitions.find('state.plain'), undefined);
  t.match(log.lines, [{ level: 'warn', message: /plain\.sock is no socket/ }]);
  const quiet = recordingLogger();
  const nowhere = pluggableDefinitions({
    env: { DAPR_COMPONENTS_SOCKETS_FOLDER: join(folder, 'nowhere') },
    clock: systemClock(),
    log: quiet,
    maxMessageBytes: 1024,
  });
  t.equal(await nowhere.find('state.plain'), undefined);
  t.same(quiet.lines, []);
});

t.test('a socket that nobody listens on yet is waited for', async (t) => {
  const { folder, log, definitions, start } = socketFolder(t);
  const socket = join(folder, 'late.sock');
  // What a killed process leaves behind: closing would remove the file under its first name only.
  const server = createServer().listen(join(folder, 'first'));
  await new Promise((resolve) => server.once('listening', resolve));
  renameSync(join(folder, 'first'), socket);
  await new Promise((resolve) => server.close(resolve));
  const finding = definitions.find('state.late');
  while (!log.lines.some(({ message }) => message.startsWith('waiting for the pluggable component')))
    await new Promise((resolve) => setImmediate(resolve));
  rmSync(socket);
  await start('late.sock');
  t.equal((await finding)?.category, 'state');
});

t.test('waiting ends with the signal', async (t) => {
  const { folder, definitions } = socketFolder(t);
  const server = createServer((connection) => connection.destroy()).listen(join(folder, 'deaf.sock'));
  t.teardown(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const stop = new AbortController();
  const finding = definitions.find('state.deaf', stop.signal);
  stop.abort(new Error('no longer needed'));
  await t.rejects(finding);
});

t.test('the registry prefers them to built-in components, for version v1', async (t) => {
  const { start, definitions } = socketFolder(t);
  await start('in-memory.sock');
  const catalog = { 'state.in-memory/v1': async () => ({ definition: inMemory }) };
  const registry = createRegistry(catalog, definitions);
  t.not(await registry.find('state.in-memory', 'v1'), inMemory);
  t.not(await registry.find('State.In-Memory', ''), inMemory);
  await t.rejects(registry.find('state.in-memory', 'v2'), { message: /couldn't find state store/ });
  t.equal(await createRegistry(catalog).find('state.in-memory', 'v1'), inMemory);
});

t.test('items go to Init as they are written; a failed Init says what the component said', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('all.sock', {
    failure: ({ method, instance }) =>
      method.endsWith('/Init') && instance === 'bad' ? new GrpcStatusError(3, 'no password') : undefined,
  });
  await open('state.all', 'store', { Colour: 'blue', keyPrefix: 'none' });
  await open('pubsub.all', 'bus', { colour: 'red' });
  await open('pubsub.all', 'other', { consumerID: ' mine ' });
  const sent = component.calls
    .filter(({ method }) => method.endsWith('/Init'))
    .map(({ instance, request }) => [
      instance,
      (request as { metadata: { properties: object } }).metadata.properties,
    ]);
  t.same(sent, [
    ['store', { Colour: 'blue', keyPrefix: 'none' }],
    ['bus', { colour: 'red', consumerID: 'app' }],
    ['other', { consumerID: 'mine' }],
  ]);
  await t.rejects(open('state.all', 'bad'), {
    message: 'rpc error: code = InvalidArgument desc = no password',
  });
});
