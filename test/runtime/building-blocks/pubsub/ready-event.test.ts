import t from 'tap';
import { bench, fakeSpan, json } from './fixtures.ts';

t.test('an event of the outbox and its way to the public topic', async (t) => {
  const { publish } = bench();
  const attributes = {
    type: 'order.placed',
    source: 'mine',
    extra: 'x',
    data: 'no',
    id: 'no',
    datacontenttype: 'application/json',
  };
  const bytes = publish.readyEvent(
    {
      id: 'outbox-1',
      pubsubName: 'inner',
      topic: '',
      data: Buffer.from('{"n":9007199254740993}'),
      contentType: 'application/json',
      attributes,
    },
    fakeSpan(),
  );
  t.match(json(bytes), {
    id: 'outbox-1',
    type: 'order.placed',
    source: 'mine',
    extra: 'x',
    specversion: '1.0',
    time: '2023-11-14T22:13:20Z',
    traceid: '',
  });
  const sent = publish.redirectEvent(bytes, 'ps', 'out');
  t.match(json(sent), { topic: 'out', pubsubname: 'ps', id: 'outbox-1' });
  t.match(Buffer.from(sent).toString(), /"data":\{"n":9007199254740993\}/);
});

t.test('text by default', async (t) => {
  const { publish } = bench();
  const bytes = publish.readyEvent(
    { id: 'i', pubsubName: 'p', topic: 't', data: Buffer.from('one'), contentType: '', attributes: {} },
    fakeSpan(),
  );
  t.match(json(bytes), {
    data: 'one',
    datacontenttype: 'text/plain',
    source: 'app',
    type: 'com.dapr.event.sent',
  });
});
