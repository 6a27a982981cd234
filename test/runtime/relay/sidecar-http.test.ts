import t, { type Test } from 'tap';
import { createSidecarHttp } from '../../../runtime/relay/sidecar-http.ts';
import { askedOf } from '../../../runtime/relay/sidecar-operations.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { httpTarget, type TargetAnswer } from '../../support/http-target.ts';

async function rig(t: Test, answer: () => TargetAnswer = () => ({})) {
  const target = await httpTarget(answer);
  t.teardown(() => target.close());
  const http = createSidecarHttp({
    url: target.url,
    token: () => 'secret',
    maxAnswerBytes: 1000,
    clock: fakeClock(),
  });
  t.teardown(() => http.close());
  const ask = async (method: string, path: string, headers: Record<string, string>, body = '') => {
    const asked = askedOf(method, path);
    if (asked === undefined) throw new Error(`${path} is nothing to ask for`);
    const request = { method, path, headers, body: Buffer.from(body) };
    return await http.ask(request, asked, { node: 'site-1', appId: 'door' }, AbortSignal.timeout(5000));
  };
  return { target, ask };
}

const CLAIMS = {
  'skerry-node': 'site-2',
  'skerry-app-id': 'other',
  'dapr-api-token': 'guess',
  'dapr-caller-app-id': 'other',
  'transfer-encoding': 'chunked',
  host: 'elsewhere',
};

t.test('the sidecar hears who asks, whatever the node says', async (t) => {
  const { target, ask } = await rig(t);
  await ask(
    'POST',
    '/v1.0/state/store?metadata.a=b',
    { ...CLAIMS, 'content-type': 'application/json', 'x-own': 'y' },
    '[1]',
  );
  const [seen] = target.requests;
  t.same([seen?.method, seen?.url, seen?.body], ['POST', '/v1.0/state/store?metadata.a=b', '[1]']);
  t.match(seen?.headers, { 'skerry-node': 'site-1', 'skerry-app-id': 'door', 'dapr-api-token': 'secret' });
  t.same([seen?.headers['x-own'], seen?.headers['dapr-caller-app-id']], [undefined, undefined]);
  t.notMatch(seen?.headers.host, /elsewhere/);
  await ask('POST', '/v1.0/invoke/billing/method/pay', { ...CLAIMS, 'x-own': 'y' });
  const invoked = target.requests[1]?.headers;
  t.match(invoked, {
    'skerry-node': 'site-1',
    'skerry-app-id': 'door',
    'dapr-api-token': 'secret',
    'x-own': 'y',
  });
  t.equal(invoked?.['dapr-caller-app-id'], undefined);
});

t.test('answers, with what is of use behind a link', async (t) => {
  const { ask } = await rig(t, () => ({
    status: 200,
    headers: { etag: '"7"', 'Metadata.ttlExpireTime': 'soon', traceparent: '00-1', connection: 'close' },
    body: '{"a":1}',
  }));
  const answer = await ask('GET', '/v1.0/state/store/a', {});
  t.equal(String(answer.body), '{"a":1}');
  t.match(answer, { status: 200, headers: { etag: '"7"', 'metadata.ttlexpiretime': 'soon' } });
  t.same(
    [answer.headers['traceparent'], answer.headers['connection'], answer.headers['date']],
    [undefined, undefined, undefined],
  );
});

t.test('an answer beyond the limit, and none at all', async (t) => {
  const large = await rig(t, () => ({ body: 'x'.repeat(5000) }));
  await t.rejects(large.ask('GET', '/v1.0/state/store/a', {}), /too large/);
  const cut = await rig(t, () => 'cut');
  await t.rejects(cut.ask('POST', '/v1.0/state/store', {}, '[]'));
});
