import t from 'tap';
import { createTopicScopes } from '../../../../runtime/building-blocks/pubsub/topic-scopes.ts';
import { fakeBroker, loaded } from './fixtures.ts';

const scopes = (metadata: Record<string, string>, more: { namespaceScoped?: boolean } = {}) =>
  createTopicScopes('app', 'zone')(loaded('ps', fakeBroker(), { metadata, ...more }));

t.test('allowedTopics closes all others', async (t) => {
  const limited = scopes({ AllowedTopics: 'one, two' });
  t.same(['one', 'two', 'four'].map(limited.mayPublish), [true, true, false]);
  t.same(['one', 'four'].map(limited.maySubscribe), [true, false]);
});

t.test('scopes limit the apps they name', async (t) => {
  const named = scopes({ publishingScopes: 'app=one,two;other=three', subscriptionScopes: 'other=three' });
  t.same(['one', 'two', 'three'].map(named.mayPublish), [true, true, false]);
  t.same(['one', 'three'].map(named.maySubscribe), [true, true]);
  t.equal(
    scopes({ publishingScopes: 'app=;other=one' }).mayPublish('one'),
    false,
    'an empty list grants nothing',
  );
});

t.test('a protected topic needs a grant', async (t) => {
  const locked = scopes({ protectedTopics: 'locked', subscriptionScopes: 'app=locked' });
  t.equal(locked.mayPublish('locked'), false);
  t.equal(locked.mayPublish('open'), true);
  t.equal(locked.maySubscribe('locked'), true);
});

t.test('a namespace-scoped component has prefixed topics at the broker', async (t) => {
  const prefixed = scopes({}, { namespaceScoped: true });
  t.equal(prefixed.brokerTopic('t'), 'zonet');
  t.equal(prefixed.appTopic('zonet'), 't');
  t.equal(prefixed.appTopic('t'), 't');
  t.equal(scopes({}).brokerTopic('t'), 't');
});
