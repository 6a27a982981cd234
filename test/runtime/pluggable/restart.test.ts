import t from 'tap';
import { until } from '../../integration/support/until.ts';
import { socketFolder } from '../../support/pluggable-rig.ts';

const signal = new AbortController().signal;

t.test('a process that was started again is initialised again, once', async (t) => {
  const { start, open, log } = socketFolder(t);
  const before = await start('vault.sock');
  const secrets = await open('secretstores.vault', 'vault', { url: 'x' });
  t.same(await secrets.get('a', {}, signal), { a: 'a!' });
  await before.close();
  await t.rejects(secrets.get('a', {}, signal), { message: /^rpc error: code = Unavailable desc = / });
  await t.rejects(secrets.get('a', {}, signal), { message: /dial unix .*vault\.sock: / });
  const after = await start('vault.sock');
  const answers = await Promise.all(
    ['a', 'b', 'items SecretStore vault'].map((key) => secrets.get(key, {}, signal)),
  );
  t.same(answers, [{ a: 'a!' }, { b: 'b!' }, { url: 'x' }]);
  t.equal(after.to('SecretStore/Init').length, 1, 'calls at the same time share one initialisation');
  t.equal(log.lines.filter(({ level }) => level === 'warn').length, 2, 'told once that it is away');
});

t.test('streams are opened again after a restart and after a failure', async (t) => {
  const { start, open } = socketFolder(t);
  const first = await start('all.sock');
  const bus = await open('pubsub.all', 'bus');
  const binding = await open('bindings.all', 'io');
  const heard: string[] = [];
  const subscription = await bus.subscribe({ topic: 'a', metadata: {} }, async ({ data }) => {
    heard.push(`message ${Buffer.from(data)}`);
  });
  const reader = await binding.read?.(async ({ data }) => {
    heard.push(`event ${Buffer.from(data)}`);
    return undefined;
  });
  const streams = (component: typeof first): number =>
    component.to('PubSub/PullMessages').length + component.to('InputBinding/Read').length;
  await until('both streams', () => streams(first) === 2);
  first.breakStreams();
  await until('both streams again', () => streams(first) === 4);
  t.equal(first.to('PubSub/Init').length, 1, 'the same process is not initialised twice');
  first.deliver('a', '1', 'one');
  await until('a message', () => heard.length === 1);

  await first.close();
  const second = await start('all.sock');
  await until('both streams of the new process', () => streams(second) === 2);
  t.equal(second.to('PubSub/Init').length, 1);
  second.deliver('a', '2', 'two');
  second.emit('3', 'three');
  await until('a message and an event', () => heard.length === 3);
  t.same(heard, ['message one', 'message two', 'event three']);
  await Promise.all([subscription.close(), reader?.close()]);
});

t.test('a subscription closes while the component is away', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('bus.sock');
  const bus = await open('pubsub.bus', 'bus');
  const subscription = await bus.subscribe({ topic: 'a', metadata: {} }, async () => {});
  await until('the stream', () => component.to('PubSub/PullMessages').length === 1);
  await component.close();
  await subscription.close();
  await t.rejects(
    bus.subscribe({ topic: 'b', metadata: {} }, async () => {}),
    {
      message: /^unable to subscribe: rpc error: code = Unavailable/,
    },
  );
});

t.test('a component that does not answer holds up nobody', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('vault.sock', { hangs: ({ request }) => isFor(request, 'never') });
  const secrets = await open('secretstores.vault', 'vault');
  const limit = new AbortController();
  const waiting = secrets.get('never', {}, limit.signal);
  await until('the call', () => component.to('SecretStore/Get').length === 1);
  limit.abort(new Error('enough'));
  await t.rejects(waiting, { message: 'rpc error: code = Canceled desc = context canceled' });
  const left = secrets.get('never', {}, signal);
  left.catch(() => {});
  await until('the other call', () => component.to('SecretStore/Get').length === 2);
  await secrets.close();
  await t.rejects(left, { message: /code = Unavailable/ });
});

t.test('the patience of a caller counts while the component is initialised again', async (t) => {
  const { start, open } = socketFolder(t);
  const before = await start('vault.sock');
  const secrets = await open('secretstores.vault', 'vault');
  await before.close();
  const after = await start('vault.sock', { hangs: ({ method }) => method.endsWith('/Init') });
  const limit = new AbortController();
  const waiting = secrets.get('a', {}, limit.signal);
  await until('the initialisation', () => after.to('SecretStore/Init').length === 1);
  limit.abort(new Error('enough'));
  await t.rejects(waiting, { message: 'rpc error: code = Canceled desc = context canceled' });
});

function isFor(request: unknown, key: string): boolean {
  return (request as { key?: string }).key === key;
}
