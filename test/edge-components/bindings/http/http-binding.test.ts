/** `bindings.http` against a real local server: what is sent, what comes back, what fails how. */

import t, { type Test } from 'tap';
import { createHttpBinding } from '../../../../edge-components/bindings/http/http-binding.ts';
import { httpBindingMetadata } from '../../../../edge-components/bindings/http/metadata.ts';
import { type Binding, BindingError, type BindingRequest } from '../../../../runtime/contracts/binding.ts';
import { decodeMetadata } from '../../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { type FakeClock, fakeClock } from '../../../support/fake-clock.ts';
import {
  type HttpTarget,
  httpTarget,
  type TargetAnswer,
  type TargetRequest,
} from '../../../support/http-target.ts';

type OutputBinding = Binding & Required<Pick<Binding, 'invoke'>>;

const JSON_TYPE = 'application/json; charset=utf-8';
const never = new AbortController().signal;

async function open(
  t: Test,
  answer: (request: TargetRequest) => TargetAnswer = () => ({}),
  items: Readonly<Record<string, string>> = {},
): Promise<{ target: HttpTarget; binding: OutputBinding; clock: FakeClock }> {
  const target = await httpTarget(answer);
  const clock = fakeClock();
  const decoded = decodeMetadata(httpBindingMetadata, { url: target.url, ...items });
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const binding = createHttpBinding(decoded.value, componentDeps({ clock })) as OutputBinding;
  await binding.init(never);
  t.teardown(async () => {
    await binding.close();
    await target.close();
  });
  return { target, binding, clock };
}

const call = (
  operation: string,
  metadata: Readonly<Record<string, string>> = {},
  data = '',
): BindingRequest => ({ operation, metadata, data: Buffer.from(data) });

const text = (data: Uint8Array | undefined): string => Buffer.from(data ?? []).toString('utf8');

t.test('capital metadata become headers, path is appended, defaults are JSON', async (t) => {
  const { binding, target } = await open(t);
  await binding.invoke(
    call('get', { path: '/deep/er?x=1', 'X-Mine': 'v', 'X-Who': 'Zoë', lower: 'no' }),
    never,
  );
  await binding.invoke(call('create', { path: 'echo' }, '{"a":1}'), never);
  await binding.invoke(call('put', { 'Content-Type': 'text/plain', Accept: 'text/html' }, 'text'), never);
  const [get, post, put] = target.requests;
  t.match(get, { method: 'GET', url: '/deep/er?x=1', body: '' });
  t.equal(get?.headers['x-mine'], 'v');
  t.equal(get?.headers['x-who'], Buffer.from('Zoë').toString('latin1'), 'text goes out as UTF-8');
  t.equal(get?.headers['accept'], JSON_TYPE);
  t.equal(get?.headers['content-type'], undefined, 'no body, no type');
  t.equal(get?.headers['lower'], undefined);
  t.match(post, { method: 'POST', url: '/echo', body: '{"a":1}', headers: { 'content-type': JSON_TYPE } });
  t.match(put, {
    method: 'PUT',
    url: '/',
    body: 'text',
    headers: { 'content-type': 'text/plain', accept: 'text/html' },
  });
});

t.test('every operation is its verb; only post, put and patch send data', async (t) => {
  const { binding, target } = await open(t);
  for (const operation of binding.operations) await binding.invoke(call(operation, {}, 'data'), never);
  t.strictSame(
    target.requests.map(({ method, body }) => `${method} ${body}`.trim()),
    ['POST data', 'GET', 'HEAD', 'POST data', 'PUT data', 'PATCH data', 'DELETE', 'OPTIONS', 'TRACE'],
  );
});

t.test('the trace of the call wins; headers that frame the message are not taken', async (t) => {
  const { binding, target } = await open(t);
  const metadata = {
    Traceparent: 'mine',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    tracestate: 'a=1',
    baggage: 'k=v',
    Host: 'elsewhere',
    'Content-Length': '99',
    'Transfer-Encoding': 'chunked',
  };
  await binding.invoke(call('post', metadata, 'x'), never);
  const headers = target.requests[0]?.headers ?? {};
  t.equal(headers['traceparent'], metadata.traceparent);
  t.equal(headers['tracestate'], 'a=1');
  t.equal(headers['baggage'], 'k=v');
  t.match(headers.host, /^127\.0\.0\.1:\d+$/);
  t.equal(headers['content-length'], '1');
});

t.test('a security token is sent under its header', async (t) => {
  const { binding, target } = await open(t, undefined, {
    securityToken: 's3cret',
    securityTokenHeader: 'X-Token',
  });
  await binding.invoke(call('get'), never);
  t.equal(target.requests[0]?.headers['x-token'], 's3cret');
});

t.test('the answer: data, status and headers in Dapr spelling', async (t) => {
  const { binding } = await open(t, () => ({
    headers: { 'x-reply': 'yes', 'set-cookie': ['a=1', 'b=2'], 'content-type': 'text/plain' },
    body: 'hello',
  }));
  const response = await binding.invoke(call('get'), never);
  t.equal(text(response?.data), 'hello');
  t.match(response?.metadata, {
    statusCode: '200',
    status: '200 OK',
    'X-Reply': 'yes',
    'Set-Cookie': 'a=1, b=2',
    'Content-Type': 'text/plain',
  });
  t.notHas(response?.metadata, { 'Transfer-Encoding': String });
});

t.test('an empty answer still is an answer', async (t) => {
  const { binding } = await open(t, () => ({ status: 204 }));
  const response = await binding.invoke(call('get'), never);
  t.equal(response?.data?.length, 0);
  t.match(response?.metadata, { statusCode: '204', status: '204 No Content' });
});

t.test('another status than 2xx is an error that carries the answer', async (t) => {
  const { binding } = await open(t, () => ({ status: 404, headers: { 'x-reply': 'yes' }, body: 'none' }));
  const error = await binding.invoke(call('get'), never).catch((cause: unknown) => cause);
  t.ok(error instanceof BindingError);
  t.match(error, {
    message: 'received status code 404',
    response: { metadata: { statusCode: '404', status: '404 Not Found', 'X-Reply': 'yes' } },
  });
  t.equal(text((error as BindingError).response?.data), 'none');
  const soft = await binding.invoke(call('get', { errorIfNot2XX: 'false' }), never);
  t.equal(text(soft?.data), 'none', 'the request decides');
});

t.test('errorIfNot2XX of the component, overridden by the request', async (t) => {
  const { binding } = await open(t, () => ({ status: 500 }), { errorIfNot2XX: 'false' });
  t.match(await binding.invoke(call('get'), never), { metadata: { statusCode: '500' } });
  await t.rejects(async () => void (await binding.invoke(call('get', { errorIfNot2XX: 'true' }), never)), {
    message: 'received status code 500',
  });
});

t.test('answers longer than maxResponseBodySize are cut', async (t) => {
  const { binding } = await open(t, () => ({ body: 'x'.repeat(300_000) }), { maxResponseBodySize: '1Ki' });
  const response = await binding.invoke(call('get'), never);
  t.equal(response?.data?.length, 1024);
  const again = await binding.invoke(call('get'), never);
  t.equal(again?.data?.length, 1024, 'the next call is not disturbed');
});

t.test('exactly maxResponseBodySize bytes are not cut', async (t) => {
  const { binding } = await open(t, () => ({ body: 'x'.repeat(1024) }), { maxResponseBodySize: '1Ki' });
  t.equal((await binding.invoke(call('get'), never))?.data?.length, 1024);
});

t.test('redirects are followed as browsers and Go do', async (t) => {
  const moves: Readonly<Record<string, number>> = { '/301': 301, '/303': 303, '/307': 307, '/308': 308 };
  const { binding, target } = await open(t, ({ url }) => {
    const status = moves[url];
    return status === undefined ? { body: 'there' } : { status, headers: { location: '/there' } };
  });
  for (const path of Object.keys(moves)) {
    const response = await binding.invoke(call('post', { path }, 'data'), never);
    t.equal(text(response?.data), 'there');
  }
  t.strictSame(
    target.requests
      .filter(({ url }) => url === '/there')
      .map(({ method, body }) => `${method} ${body}`.trim()),
    ['GET', 'GET', 'POST data', 'POST data'],
  );
});

t.test('a redirect without end is an error', async (t) => {
  const { binding, target } = await open(t, () => ({ status: 302, headers: { location: '/again' } }));
  await t.rejects(async () => void (await binding.invoke(call('get'), never)), {
    message: /stopped after 10 redirects/,
  });
  t.equal(target.requests.length, 11);
});

t.test('secrets do not follow a redirect to another origin', async (t) => {
  const other = await httpTarget();
  t.teardown(() => other.close());
  const { binding } = await open(t, () => ({ status: 307, headers: { location: `${other.url}/x` } }), {
    securityToken: 's3cret',
    securityTokenHeader: 'X-Token',
  });
  await binding.invoke(call('post', { Authorization: 'Bearer t', 'X-Mine': 'v' }, 'd'), never);
  const headers = other.requests[0]?.headers ?? {};
  t.equal(headers['x-token'], undefined);
  t.equal(headers['authorization'], undefined);
  t.equal(headers['x-mine'], 'v');
});

t.test('responseTimeout ends a call, the caller may end it earlier', async (t) => {
  const { binding, clock, target } = await open(t, () => 'hang', { responseTimeout: '2s' });
  const slow = t.rejects(async () => void (await binding.invoke(call('get'), never)), {
    message: `Get "${target.url}": context deadline exceeded`,
  });
  await clock.advance(2000);
  await slow;
  const abort = new AbortController();
  const ended = t.rejects(async () => void (await binding.invoke(call('get'), abort.signal)), {
    message: /abort/i,
  });
  abort.abort();
  await ended;
  t.equal(clock.pending, 0, 'no timer is left');
});

t.test('a target that is not there', async (t) => {
  const { binding, target } = await open(t);
  await target.close();
  await t.rejects(async () => void (await binding.invoke(call('get', { path: '/x' }), never)), {
    message: /^Get "http:\/\/127\.0\.0\.1:\d+\/x": connect ECONNREFUSED/,
  });
});

t.test('a connection that was closed while idle: safe methods are sent again, others fail', async (t) => {
  let cut = false;
  const { binding, target } = await open(t, () => {
    if (!cut) return {};
    cut = false;
    return 'cut';
  });
  await binding.invoke(call('get'), never);
  cut = true;
  await binding.invoke(call('get'), never);
  t.equal(target.requests.length, 3, 'the second call took two attempts');
  cut = true;
  await t.rejects(async () => void (await binding.invoke(call('post', {}, 'x'), never)));
  t.equal(target.requests.length, 4, 'a post is not sent twice');
});

t.test('a password in the URL is not shown', async (t) => {
  const { binding, target } = await open(t, undefined, { url: 'http://user:pass@127.0.0.1:1/x' });
  const error = (await binding.invoke(call('get'), never).catch((cause: unknown) => cause)) as Error;
  t.notMatch(error.message, /pass/);
  t.match(error.message, /user:\*\*\*@127/);
  t.equal(target.requests.length, 0);
});

t.test('bad metadata name the item', async (t) => {
  const faults = (items: Readonly<Record<string, string>>): readonly string[] => {
    const decoded = decodeMetadata(httpBindingMetadata, items);
    return decoded.ok ? [] : decoded.faults;
  };
  t.match(faults({}), [/'url': is required/]);
  t.match(faults({ url: 'ftp://x' }), [/'url': expected an http or https URL/]);
  t.match(faults({ url: 'http://x', mtlsRenegotiation: 'sometimes' }), [/'MTLSRenegotiation': expected/]);
  t.match(faults({ url: 'http://x', responseTimeout: 'soon' }), [/'responseTimeout': expected a duration/]);
});
