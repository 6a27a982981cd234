// A relay among others: what it tells of its links, what it finds of the others', and what goes on without the registry.

import t, { type Test } from 'tap';
import type { FarRelay, LinkRow, LinkRows } from '../../../runtime/relay/link-rows.ts';
import { createLinkTable } from '../../../runtime/relay/link-table.ts';
import type { RelayLink } from '../../../runtime/relay/relay-link.ts';
import { createSharedLinks, tellingTable } from '../../../runtime/relay/shared-links.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const link = (name: string): RelayLink => ({ name }) as unknown as RelayLink;

/** Rows of one relay, and what it did to them. */
function rig(t: Test) {
  const clock = fakeClock();
  const did: string[] = [];
  const mine = new Map<string, readonly string[]>();
  const elsewhere = new Set<string>();
  const far = new Map<string, readonly FarRelay[]>();
  const state = { away: false, asked: 0, changed: [] as { name: string; keyHash: string }[] };
  const answer = async <T>(value: () => T): Promise<T> => {
    if (state.away) throw new Error('the registry cannot be reached: gone');
    return value();
  };
  const rows: LinkRows = {
    renew: () => answer(() => ({ mine: [...mine.keys()], others: [] })),
    put: (links, fresh) =>
      answer(() => {
        did.push(
          `${fresh ? 'put' : 'keep'} ${links.map(({ node, appIds }: LinkRow) => `${node}:${appIds}`).join(' ')}`,
        );
        const taken = links.filter(({ node }) => fresh || !elsewhere.has(node));
        for (const { node, appIds } of taken) mine.set(node, appIds);
        return taken.map(({ node }) => node);
      }),
    drop: (nodes) =>
      answer(() => {
        did.push(`drop ${nodes}`);
        for (const node of nodes) mine.delete(node);
      }),
    find: (appId) =>
      answer(() => {
        state.asked += 1;
        return far.get(appId) ?? [];
      }),
    changed: () => answer(() => state.changed),
    all: () => answer(() => []),
    leave: () => answer(() => void did.push('leave')),
  };
  const table = createLinkTable(() => {});
  const heard: string[] = [];
  const log = recordingLogger();
  const shared = createSharedLinks({
    rows,
    links: table,
    clock,
    log,
    metrics: { count: () => {}, gauge: () => {}, observe: () => {} },
    changed: ({ name }) => void heard.push(`changed ${name}`),
    moved: (node) => void heard.push(`moved ${node}`),
  });
  t.teardown(() => shared.close());
  return { clock, did, mine, elsewhere, far, state, heard, log, shared, links: tellingTable(table, shared) };
}

t.test('links are told, many at once in one statement', async (t) => {
  const { clock, did, shared, links } = rig(t);
  await shared.start();
  const [one, two] = [link('one'), link('two')];
  links.set('a', one, ['door']);
  links.set('b', two, ['lamp']);
  await clock.advance(20);
  t.same(did.splice(0), ['put a:door b:lamp']);
  links.remove('a', one);
  links.remove('b', one);
  links.set('b', two, ['lamp', 'gate']);
  await clock.advance(20);
  t.same(did.splice(0), ['put b:lamp,gate', 'drop a'], 'the end of another link is none');
  await clock.advance(60_000);
  t.same(did, [], 'nothing more while nothing changes');
});

t.test('what is told and what is are compared with every renewal', async (t) => {
  const { clock, did, mine, elsewhere, heard, shared, links } = rig(t);
  await shared.start();
  links.set('a', link('one'), ['door']);
  links.set('b', link('two'), ['lamp']);
  await clock.advance(20);
  did.length = 0;
  mine.delete('a');
  mine.delete('b');
  mine.set('ghost', ['x']);
  elsewhere.add('b');
  await clock.advance(11_000);
  t.same(did, ['drop ghost', 'keep a:door b:lamp']);
  t.same(heard, ['moved b'], 'a node that is at another relay is there');
});

t.test('what others have is known for five seconds, or until it is wrong', async (t) => {
  const { clock, far, state, shared } = rig(t);
  await shared.start();
  const there = [{ id: 'r2', address: 'r2:1' }];
  t.same(await shared.find('door'), []);
  far.set('door', there);
  t.same(await shared.find('door'), [], 'half a second');
  await clock.advance(500);
  t.same(await Promise.all([shared.find('door'), shared.find('door')]), [there, there]);
  t.equal(state.asked, 2, 'asked once for both');
  far.set('door', []);
  await clock.advance(4999);
  t.same(await shared.find('door'), there);
  await clock.advance(1);
  t.same(await shared.find('door'), []);
  far.set('lamp', there);
  await shared.find('lamp');
  far.delete('lamp');
  shared.forget('lamp');
  t.same(await shared.find('lamp'), []);
});

t.test('without the registry what stands goes on, and afterwards all is told', async (t) => {
  const { clock, did, far, mine, state, heard, log, shared, links } = rig(t);
  await shared.start();
  far.set('door', [{ id: 'r2', address: 'r2:1' }]);
  await shared.find('door');
  const one = link('one');
  links.set('a', one, ['lamp']);
  await clock.advance(20);
  state.away = true;
  await clock.advance(1000);
  t.equal(shared.reachable, false);
  t.match(
    log.lines.at(-1)?.message,
    /the registry cannot be reached: gone; links that stand .* no new nodes/,
  );
  links.remove('a', one);
  links.set('b', link('two'), ['gate']);
  await clock.advance(60_000);
  t.equal(log.lines.filter(({ level }) => level === 'error').length, 1, 'said once');
  t.same(await shared.find('door'), [{ id: 'r2', address: 'r2:1' }], 'as it was known last');
  t.same(await shared.find('never'), []);
  mine.delete('a');
  did.length = 0;
  state.away = false;
  state.changed = [{ name: 'x', keyHash: 'k' }];
  await clock.advance(1000);
  t.equal(shared.reachable, true);
  t.same(did, ['keep b:gate']);
  t.ok(heard.includes('changed x'));
  await shared.close();
  t.equal(did.at(-1), 'leave');
});
