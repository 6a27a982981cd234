import t from 'tap';
import { createUsagePool } from '../../../runtime/platform/usage-pool.ts';

t.test('opened by the first user, closed with the last', async (t) => {
  const log: string[] = [];
  const pool = createUsagePool();
  const open = async () => {
    log.push('open');
    return { close: async () => void log.push('close') };
  };
  const [a, b] = await Promise.all([pool.use('k', open), pool.use('k', open)]);
  t.equal(a.value, b.value);
  await a.release();
  await a.release();
  t.same(log, ['open']);
  await b.release();
  t.same(log, ['open', 'close']);
  const again = await pool.use('k', open);
  t.same(log, ['open', 'close', 'open']);
  await again.release();
});

t.test('a failed opening is not kept', async (t) => {
  const pool = createUsagePool();
  await t.rejects(
    pool.use('k', () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  const use = await pool.use('k', async () => ({ close: async () => {} }));
  t.ok(use.value);
});
