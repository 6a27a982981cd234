// Service invocation between two processes that find each other by mDNS: nothing about the call changes on the way. A real
// daprd (SKERRY_TEST_DAPRD names one) can take either end.

import t, { type Test } from 'tap';
import { type Answer, call } from './support/http-call.ts';
import { startSidecar } from './support/node-process.ts';
import { realProgram } from './support/real-dapr.ts';
import { type AppRequest, startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const BINARY = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
const { path: daprd, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'daprd');

interface Ends {
  readonly caller?: string;
  readonly callee?: string;
}

function pick(request: AppRequest | undefined, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.map((name) => [name, request?.headers[name]]));
}

async function invokeAcross(t: Test, ends: Ends): Promise<void> {
  const id = `callee-${process.pid}-${ends.callee === undefined ? 'a' : 'b'}-${ends.caller === undefined ? 'a' : 'b'}`;
  const app = await startApp(t, {
    '/items/7 of 9': () => ({ status: 404 }),
    '/items/7%20of%209': () => ({
      status: 418,
      headers: { 'x-answer': 'yes', 'content-type': 'text/x-tea' },
      body: 'teapot',
    }),
    '/bytes': ({ body }) => ({ headers: { 'content-type': 'application/octet-stream' }, body }),
    '/empty': () => ({ status: 204 }),
  });
  const executable = (path: string | undefined) => (path === undefined ? {} : { executable: path });
  const [caller] = await Promise.all([
    startSidecar(t, { appId: `caller-${process.pid}`, ...executable(ends.caller) }),
    startSidecar(t, { appId: id, appPort: app.port, ...executable(ends.callee) }),
  ]);
  const invoke = (path: string, options: Parameters<typeof call>[1] = {}): Promise<Answer> =>
    call(`${caller.base}/v1.0/invoke/${id}/method/${path}`, options);
  await until('the callee to be found', async () => (await invoke('empty')).status === 204);

  const answer = await invoke('items/7%20of%209?q=a%2Fb&q=c', {
    method: 'PUT',
    body: '{"n":1}',
    headers: { 'content-type': 'application/json', 'x-custom': 'one, two', accept: 'text/x-tea' },
  });
  t.same(
    [answer.status, answer.text, answer.headers['content-type'], answer.headers['x-answer']],
    [418, 'teapot', 'text/x-tea', 'yes'],
    "status, body and headers of the answer are the app's",
  );
  const request = app.requests.at(-1);
  t.same(
    [request?.method, request?.url, String(request?.body)],
    ['PUT', '/items/7%20of%209?q=a%2Fb&q=c', '{"n":1}'],
  );
  t.match(pick(request, ['content-type', 'x-custom', 'accept', 'dapr-caller-app-id', 'dapr-callee-app-id']), {
    'content-type': 'application/json',
    'x-custom': 'one, two',
    accept: 'text/x-tea',
    'dapr-caller-app-id': `caller-${process.pid}`,
    'dapr-callee-app-id': id,
  });
  t.type(request?.headers['traceparent'], 'string', 'the trace goes on');

  const echoed = await invoke('bytes', {
    body: BINARY,
    headers: { 'content-type': 'application/octet-stream' },
  });
  t.ok(echoed.bytes.equals(BINARY), 'bytes stay bytes');
  const chunks = Array.from({ length: 48 }, (_, n) => Buffer.alloc(64 * 1024, n));
  const streamed = await invoke('bytes', {
    body: chunks,
    headers: { 'content-type': 'application/octet-stream' },
  });
  t.ok(streamed.bytes.equals(Buffer.concat(chunks)), '3 MiB in chunks come back the same');
  const byHeader = await call(`${caller.base}/empty`, { headers: { 'dapr-app-id': id } });
  t.equal(byHeader.status, 204, 'the app may be named by a header');

  const nobody = await invoke('empty').then(() =>
    call(`${caller.base}/v1.0/invoke/nobody-${process.pid}/method/x`),
  );
  t.equal(nobody.status, 500);
  t.match(JSON.parse(nobody.text), { errorCode: 'ERR_DIRECT_INVOKE', message: /nobody/ });
}

t.test('Skerry calls Skerry', (t) => invokeAcross(t, {}));

t.test('Skerry calls daprd', { skip: withoutDaprd }, (t) => invokeAcross(t, { callee: String(daprd) }));

t.test('daprd calls Skerry', { skip: withoutDaprd }, (t) => invokeAcross(t, { caller: String(daprd) }));
