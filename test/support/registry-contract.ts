/** What every registry of a relay does, whatever it is kept in. */

import type { Test } from 'tap';
import type { RelayRegistry } from '../../runtime/relay/registry.ts';

export interface RegistryRig {
  readonly registry: RelayRegistry;
  /** Lets so much time pass for the registry. */
  elapse(ms: number): Promise<void>;
}

/** Runs the suite; `open` gives a registry without contents for each test. */
export async function registryContract(t: Test, open: (t: Test) => Promise<RegistryRig>): Promise<void> {
  const rig = async (t: Test) => {
    const { registry, elapse } = await open(t);
    const give = (hash: string, node?: string) =>
      registry.addToken({
        hash,
        appIds: ['door', 'lamp'],
        ttlMs: 60_000,
        ...(node === undefined ? {} : { node }),
      });
    return { registry, elapse, give };
  };

  await t.test('a token enrols one node, once', async (t) => {
    const { registry, give } = await rig(t);
    await give('a');
    t.match(await registry.enrol('a', { name: 'site-1', keyHash: 'k1' }), {
      ok: true,
      node: { name: 'site-1', appIds: ['door', 'lamp'], keyHash: 'k1' },
    });
    t.match(await registry.enrol('a', { name: 'site-2', keyHash: 'k2' }), {
      ok: false,
      reason: /used already/,
    });
    t.match(await registry.enrol('none', { name: 'site-2', keyHash: 'k2' }), {
      ok: false,
      reason: /not known/,
    });
    t.equal(await registry.node('site-2'), undefined);
    await give('b');
    const all = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((n) => registry.enrol('b', { name: `racer-${n}`, keyHash: `k${n}` })),
    );
    t.equal(all.filter(({ ok }) => ok).length, 1, 'six at once');
    t.equal((await registry.nodes()).length, 2);
  });

  await t.test('names stay with their keys', async (t) => {
    const { registry, give } = await rig(t);
    await give('a');
    await give('b');
    await give('c', 'site-1');
    t.match(await registry.enrol('a', { name: 'site-1', keyHash: 'k1' }), { ok: true });
    t.match(await registry.enrol('b', { name: 'site-1', keyHash: 'k2' }), {
      ok: false,
      reason: /site-1 is taken/,
    });
    t.equal((await registry.node('site-1'))?.keyHash, 'k1');
    t.match(await registry.enrol('c', { name: 'site-2', keyHash: 'k2' }), {
      ok: false,
      reason: /for the node site-1/,
    });
    t.match(await registry.enrol('c', { name: 'site-1', keyHash: 'k3' }), {
      ok: true,
      node: { keyHash: 'k3' },
    });
    t.match(
      await registry.enrol('b', { name: 'site-2', keyHash: 'k2' }),
      { ok: true },
      'a refusal costs no token',
    );
  });

  await t.test('revoked is revoked', async (t) => {
    const { registry, give } = await rig(t);
    await give('a');
    await registry.enrol('a', { name: 'site-1', keyHash: 'k1' });
    t.ok(await registry.revoke('site-1'));
    t.notOk(await registry.revoke('site-1'), 'once');
    t.notOk(await registry.revoke('nobody'));
    t.ok(((await registry.node('site-1'))?.revokedAt ?? 0) > 0);
    await give('b');
    t.match(await registry.enrol('b', { name: 'site-1', keyHash: 'k2' }), { ok: false }, 'its name is taken');
    await give('c', 'site-1');
    t.match(await registry.enrol('c', { name: 'site-1', keyHash: 'k2' }), { ok: true });
    t.equal((await registry.node('site-1'))?.revokedAt, undefined, 'enrolled anew on purpose');
  });

  await t.test('nodes by name, with the end of their links', async (t) => {
    const { registry, give } = await rig(t);
    for (const name of ['b', 'a', 'B', 'ä']) {
      await give(`token ${name}`);
      await registry.enrol(`token ${name}`, { name, keyHash: name });
    }
    await registry.linkEnded('a', 1_700_000_000_123.7, "it's cut");
    await registry.linkEnded('nobody', 1, 'x');
    const nodes = await registry.nodes();
    t.same(
      nodes.map(({ name }) => name),
      ['B', 'a', 'b', 'ä'],
    );
    t.match(nodes[1], { lastContact: 1_700_000_000_123, lastReason: "it's cut" });
    t.notOk('lastContact' in (nodes[0] ?? {}), 'never heard of');
  });

  await t.test('tokens end', async (t) => {
    const { registry, give, elapse } = await rig(t);
    await give('a');
    await elapse(60_001);
    t.match(await registry.enrol('a', { name: 'site-1', keyHash: 'k' }), {
      ok: false,
      reason: /has expired/,
    });
    await give('b');
    await elapse(59_000);
    t.match(await registry.enrol('b', { name: 'site-1', keyHash: 'k' }), { ok: true });
    await elapse(31 * 86_400_000);
    await give('c');
    t.match(
      await registry.enrol('b', { name: 'site-2', keyHash: 'k' }),
      { ok: false, reason: /not known/ },
      'forgotten after a month',
    );
  });
}
