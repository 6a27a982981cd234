// Neighbours first, the relay for everybody else; without a link nobody waits.

import t from 'tap';
import type { NameResolver } from '../../../runtime/contracts/name-resolver.ts';
import { createRelayNames } from '../../../runtime/relay/names.ts';
import { fakeClock } from '../../support/fake-clock.ts';

const ask = (appId: string) => ({ appId, namespace: 'default' });
const signal = new AbortController().signal;

function rig(neighbour: (appId: string) => Promise<string>, atRelay: readonly string[]) {
  const clock = fakeClock();
  const relay = {
    up: true,
    asked: 0,
    find: async ({ appId }: { appId: string }) => {
      relay.asked += 1;
      return atRelay.includes(appId);
    },
  };
  const forgotten: string[] = [];
  const resolver = {
    resolve: ({ appId }: { appId: string }) => neighbour(appId),
    forget: (_request: unknown, address: string) => void forgotten.push(address),
  } as unknown as NameResolver;
  return { clock, relay, forgotten, names: createRelayNames(() => resolver, relay, clock) };
}
const never = () => new Promise<string>(() => {});
const absent = async (appId: string): Promise<string> => {
  throw new Error(`couldn't find service: ${appId}`);
};

t.test('a neighbour that answers wins, and the relay is not asked', async (t) => {
  const { names, relay, forgotten } = rig(async () => '10.0.0.1:1', ['door']);
  t.equal(await names.resolve(ask('door'), signal), '10.0.0.1:1');
  t.equal(relay.asked, 0);
  names.forget?.(ask('door'), '10.0.0.1:1');
  t.same(forgotten, ['10.0.0.1:1']);
});

t.test('an app behind the relay is known for a while', async (t) => {
  const { names, relay, clock } = rig(never, ['door']);
  const found = names.resolve(ask('door'), signal);
  await clock.advance(50);
  t.equal(await found, 'skerry-relay:door');
  t.equal(await names.resolve(ask('door'), signal), 'skerry-relay:door', 'without asking');
  t.equal(relay.asked, 1);
  names.forget?.(ask('door'), 'skerry-relay:door');
  const again = names.resolve(ask('door'), signal);
  await clock.advance(50);
  t.equal(await again, 'skerry-relay:door');
  t.equal(relay.asked, 2);
});

t.test('nobody knows it', async (t) => {
  const { names, clock } = rig(absent, []);
  const asked = t.rejects(names.resolve(ask('door'), signal), { message: "couldn't find service: door" });
  await clock.advance(50);
  await asked;
});

t.test('without a link', async (t) => {
  const { names, relay, clock } = rig(never, ['door']);
  const found = names.resolve(ask('door'), signal);
  await clock.advance(50);
  await found;
  relay.up = false;
  await t.rejects(names.resolve(ask('door'), signal), /the link to the relay is down/, 'at once');
  names.forget?.(ask('door'), 'skerry-relay:door');
  await clock.advance(600_000);
  await t.rejects(
    names.resolve(ask('door'), signal),
    /the link to the relay is down/,
    'and after a long time',
  );
  const unknown = t.rejects(names.resolve(ask('lamp'), signal), /the link to the relay is down/);
  await clock.advance(80);
  await unknown;
});
