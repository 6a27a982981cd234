import t from 'tap';
import { parseSubscriptions } from '../../../runtime/app-channel/programmatic-subscriptions.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

t.test('rules in order, then the default; route only without a default', async (t) => {
  const log = recordingLogger();
  const [first, second] = parseSubscriptions(
    [
      {
        pubsubname: 'ps',
        topic: 'a',
        metadata: { rawPayload: 'false', other: 'x' },
        deadLetterTopic: 'dead',
        routes: {
          rules: [
            { match: 'event.type == "t"', path: '/t' },
            { match: '', path: '/any' },
          ],
          default: '/default',
        },
        bulkSubscribe: { enabled: true, maxMessagesCount: 10, maxAwaitDurationMs: 20 },
      },
      { pubsubname: 'ps', topic: 'b', route: '/b', routes: { default: '/b-default' } },
    ],
    log,
  );
  t.same(first, {
    pubsubName: 'ps',
    topic: 'a',
    metadata: { rawPayload: 'false', other: 'x' },
    deadLetterTopic: 'dead',
    rules: [
      { match: 'event.type == "t"', path: '/t' },
      { match: '', path: '/any' },
      { match: '', path: '/default' },
    ],
    bulk: { enabled: true, maxMessagesCount: 10, maxAwaitDurationMs: 20 },
  });
  t.same(second?.rules, [{ match: '', path: '/b-default' }]);
  t.same(log.lines, []);
});

t.test('an item that cannot be used is named and costs the others nothing', async (t) => {
  const log = recordingLogger();
  const kept = parseSubscriptions(
    [
      { topic: 'a', route: '/a' },
      { pubsubname: 'ps', topic: 'c' },
      5,
      { pubsubname: 'ps', topic: 'm', route: '/m', metadata: { x: 1 } },
      { pubsubname: 'ps', topic: 'd', route: '/d' },
    ],
    log,
  );
  t.same(
    kept.map(({ topic }) => topic),
    ['a', 'd'],
    'as recorded, an item without pubsubname is listed',
  );
  t.same(
    log.lines.map(({ message }) => message),
    [
      "skipping item 1 of /dapr/subscribe: topic 'c' in pubsub 'ps' has no route",
      'skipping item 2 of /dapr/subscribe: expected an object',
      "skipping item 3 of /dapr/subscribe: 'metadata.x' must be a string",
    ],
  );
});

t.test('an answer that is no list gives none', async (t) => {
  const log = recordingLogger();
  t.same(parseSubscriptions({ pubsubname: 'ps' }, log), []);
  t.equal(log.lines.length, 1);
  t.same(parseSubscriptions(null, log), []);
});
