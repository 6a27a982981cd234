/** Changes that the far side refused: told on a topic, then parked. */

import t from 'tap';
import { definition } from '../../../../edge-components/state/dapr/component.ts';
import { decodeMetadata } from '../../../../runtime/contracts/metadata.ts';
import type { StateOperation } from '../../../../runtime/contracts/state-store.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { openLocal as open } from './local-state-rig.ts';

t.test(
  'what is refused is told on the topic that the component names, until somebody takes it',
  async (t) => {
    const { far, get, operation, write, until, parked, told, hearing } = await open(t, {
      conflictPubsub: 'pubsub',
      conflictTopic: 'conflicts',
    });
    far.put('k', 1);
    const seen = await get('k');
    far.set('cut');
    hearing.broken = true;
    await write({
      ...operation('k', 0, { etag: seen?.etag }),
      value: { bytes: Buffer.from('{"id":9007199254740993}'), json: true },
    } as StateOperation);
    await write(operation('other', 1));
    far.put('k', 'theirs');
    far.set('up');
    await until('the rest to arrive', () => far.value('other') === 1);
    t.same([await parked(), told], [[], []], 'it waits');
    hearing.broken = false;
    await until('it to be told', async () => (await parked()).length === 1);
    const [event] = told;
    t.equal(told.length, 1);
    t.match(event, { pubsub: 'pubsub', topic: 'conflicts', type: 'dev.skerry.state.conflict' });
    t.match(event?.data, '"changes":[{"key":"k","value":{"id":9007199254740993},"remote":"theirs"}]');
    const { changeId, ...data } = JSON.parse(event?.data ?? '{}') as Record<string, unknown>;
    t.equal(changeId, event?.id, 'repeats have the same id');
    t.match(data, { component: 'test', kind: 'conflict', reason: /^conflict: /, changedAt: /^20.*Z$/ });
  },
);

t.test('half a target is refused with the item named', async (t) => {
  const make = (items: Record<string, string>) => {
    const decoded = decodeMetadata(definition.metadata, { baseUrl: 'http://127.0.0.1:1', ...items });
    if (!decoded.ok) throw new Error(decoded.faults.join('; '));
    return definition.create(decoded.value, componentDeps());
  };
  const local = { mode: 'local-first' };
  t.throws(() => make({ ...local, conflictPubsub: 'p' }), /'conflictTopic': expected a topic/);
  t.throws(() => make({ ...local, conflictTopic: 't' }), /'conflictPubsub': expected the name/);
  t.throws(() => make({ conflictPubsub: 'p', conflictTopic: 't' }), /only with mode local-first/);
  t.ok(make({ ...local, conflictPubsub: 'p', conflictTopic: 't' }));
});
