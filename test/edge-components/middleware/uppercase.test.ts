/** `middleware.http.uppercase`: which bodies it changes, and that characters cut by chunks survive. */

import t from 'tap';
import { definition } from '../../../edge-components/middleware/uppercase/component.ts';
import type { HttpMiddleware } from '../../../runtime/contracts/http-middleware.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { chunks, throughMiddleware } from '../../support/pipeline.ts';

function uppercase(items: Readonly<Record<string, string>>): HttpMiddleware {
  const decoded = decodeMetadata(definition.metadata, items);
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  return definition.create(decoded.value, componentDeps());
}

t.test('direction decides which bodies; anything else means the request', async (t) => {
  const run = async (direction?: string): Promise<string> => {
    const middleware = uppercase(direction === undefined ? {} : { direction });
    const { reached, body } = await throughMiddleware(middleware, { body: chunks('a') }, () => chunks('b'));
    return `${reached?.text} ${body}`;
  };
  t.equal(await run(), 'A b');
  t.equal(await run('request'), 'A b');
  t.equal(await run('Response'), 'a B');
  t.equal(await run('both'), 'A B');
  t.equal(await run('sideways'), 'A b');
});

t.test('characters cut in the middle, and those with longer upper-case forms', async (t) => {
  const text = Buffer.from('größe é 😀 ŉ');
  const parts = Array.from(text, (_, index) => text.subarray(index, index + 1));
  const { reached } = await throughMiddleware(uppercase({}), { body: chunks(...parts) });
  t.equal(reached?.text, 'GRÖßE É 😀 ŉ');
});

t.test('an empty body stays empty', async (t) => {
  const { reached } = await throughMiddleware(uppercase({}));
  t.equal(reached?.text, '');
});
