import t from 'tap';
import {
  bidiMethod,
  type GrpcCall,
  serverStreamMethod,
  unaryMethod,
} from '../../../runtime/contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import type { Policy } from '../../../runtime/contracts/resiliency.ts';
import { createProxyHandler, type ProxyOptions } from '../../../runtime/grpc/proxy.ts';
import { createGrpcClient } from '../../../runtime/grpc-client/client.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { BYTES, openStream, recordingTracer, startServer, unaryCall } from '../../support/grpc-harness.ts';

interface Test {
  teardown(run: () => unknown): void;
}
const text = (value: string): Uint8Array => Buffer.from(value);
const TO_APP = { 'dapr-app-id': 'callee' };

/** A caller's server in front of an app's server. */
async function open(t: Test, options: { policy?: Policy; failures?: number; tracing?: boolean } = {}) {
  const seen: GrpcCall[] = [];
  const asked: string[] = [];
  const timeouts: (number | undefined)[] = [];
  let failures = options.failures ?? 0;
  const app = await startServer(t, [
    {
      name: 'app.Api',
      methods: {
        Echo: unaryMethod(BYTES, BYTES, async (message, call) => {
          seen.push(call);
          if (failures > 0) {
            failures -= 1;
            call.addTrailers([['x-tail', 'failed']]);
            throw new GrpcStatusError(14, 'app is busy', { details: Buffer.from([8, 14]) });
          }
          call.addHeaders([
            ['x-head', 'h'],
            ['b-bin', 'AAE'],
          ]);
          call.addTrailers([['x-tail', 't']]);
          return message;
        }),
        Chat: bidiMethod(BYTES, BYTES, async function* (messages, call) {
          seen.push(call);
          call.sendHeaders();
          for await (const message of messages) yield message;
        }),
        Flood: serverStreamMethod(BYTES, BYTES, async function* () {
          for (let n = 0; n < 100; n += 1) yield Buffer.alloc(20_000);
        }),
      },
    },
  ]);
  const counted: string[] = [];
  const covered: string[] = [];
  const client = createGrpcClient({ target: `127.0.0.1:${app.port}`, clock: systemClock() });
  t.teardown(() => client.close());
  const open: ProxyOptions['open'] = async (request) => {
    asked.push(request.appId);
    if (request.appId === 'nobody') throw new GrpcStatusError(2, "couldn't find service: nobody");
    timeouts.push(request.timeoutMs);
    request.leaving();
    return client.bidi(request.path, { metadata: request.metadata, signal: request.signal });
  };
  const caller = await startServer(t, [], {
    unknownMethod: createProxyHandler({
      open,
      policy: (id, path) => {
        covered.push(`${id} ${path}`);
        return options.policy;
      },
      metrics: {
        requestSent: (id) => void counted.push(`sent ${id}`),
        streamSent: (id) => void counted.push(`stream ${id}`),
        responseReceived: (id, status) => void counted.push(`answer ${id} ${status}`),
      },
    }),
    tracer: recordingTracer(options.tracing ?? true),
  });
  return { ...caller, seen, asked, timeouts, counted, covered };
}

/** A policy that tries `attempts` times. */
function retrying(attempts: number, retries = true): Policy & { readonly runs: number[] } {
  const runs: number[] = [];
  return {
    active: true,
    retries,
    runs,
    run: async (attempt, { signal, status }) => {
      for (let n = 1; ; n += 1) {
        runs.push(n);
        try {
          return await attempt(signal, n);
        } catch (error) {
          if (n >= attempts || status?.(error)?.grpcCode !== 14) throw error;
        }
      }
    },
  };
}

t.test('a unary call passes both ways, headers and trailers included', async (t) => {
  const { client, seen, asked } = await open(t);
  const answer = await unaryCall(client, '/app.Api/Echo', text('hi'), {
    metadata: { ...TO_APP, 'x-in': '1', 'i-bin': Buffer.from([7]) },
  });
  t.match(answer, { code: 0, message: text('hi') });
  t.same(answer.headers?.get('x-head'), ['h']);
  t.same(answer.headers?.get('b-bin'), [Buffer.from([0, 1])]);
  t.same(answer.trailers.get('x-tail'), ['t']);
  t.match(
    new Map(seen[0]?.metadata),
    new Map([
      ['x-in', '1'],
      ['i-bin', 'Bw=='],
    ]),
  );
  t.same(asked, ['callee']);
});

t.test('calls are counted by the app id they name, and streams apart', async (t) => {
  const { client, counted } = await open(t);
  const call = (path: string, metadata: Record<string, string>) =>
    unaryCall(client, path, text('hi'), { metadata });
  await call('/app.Api/Echo', TO_APP);
  await call('/app.Api/Nope', TO_APP);
  await call('/app.Api/Echo', { ...TO_APP, 'dapr-stream': 'true' });
  await call('/app.Api/Echo', { 'dapr-app-id': 'nobody' });
  await call('/app.Api/Echo', { 'dapr-callee-app-id': 'callee' });
  t.same(counted, ['sent callee', 'answer callee 0', 'sent callee', 'answer callee 12', 'stream callee']);
});

t.test('a call under a policy is counted each time', async (t) => {
  const { client, counted, covered } = await open(t, { policy: retrying(2) });
  await unaryCall(client, '/app.Api/Echo', text('hi'), { metadata: TO_APP });
  t.same(counted, ['sent callee', 'answer callee 0']);
  t.same(covered, ['callee /app.Api/Echo'], 'a method has a breaker of its own');
});

t.test('the callee of the header wins over the app id', async (t) => {
  const { client, asked } = await open(t);
  await unaryCall(client, '/app.Api/Echo', text(''), {
    metadata: { ...TO_APP, 'dapr-callee-app-id': 'other' },
  });
  t.same(asked, ['other']);
});

t.test('status, details and trailers of a failure pass', async (t) => {
  const { client } = await open(t, { failures: 1 });
  const answer = await unaryCall(client, '/app.Api/Echo', text(''), { metadata: TO_APP });
  t.match(answer, { code: 14, text: 'app is busy' });
  t.same(answer.trailers.get('x-tail'), ['failed']);
  t.same(answer.trailers.get('grpc-status-details-bin'), [Buffer.from([8, 14])]);
  t.match(await unaryCall(client, '/app.Api/Nope', text(''), { metadata: TO_APP }), { code: 12 });
});

t.test('streams', async (t) => {
  const { client } = await open(t);
  const chat = openStream(client, '/app.Api/Chat', TO_APP);
  for (const word of ['a', 'b']) {
    chat.call.write(text(word));
    t.equal(Buffer.from(await chat.next()).toString(), word);
  }
  chat.call.end();
  t.same(await chat.status, { code: 0, text: '' });
  const flood = openStream(client, '/app.Api/Flood', TO_APP);
  flood.call.end(text(''));
  let size = 0;
  for (let n = 0; n < 100; n += 1) size += (await flood.next()).byteLength;
  t.equal(size, 2_000_000);
});

t.test('a caller that goes away takes the call at the app with it', async (t) => {
  const { client, seen } = await open(t);
  const chat = openStream(client, '/app.Api/Chat', TO_APP);
  chat.call.write(text('a'));
  await chat.next();
  const signal = seen[0]?.signal as AbortSignal;
  const gone = new Promise((resolve) => signal.addEventListener('abort', resolve));
  chat.call.cancel();
  await gone;
  t.match(signal.reason, { code: 1 });
});

t.test('a missing app id is told in two ways', async (t) => {
  const { client } = await open(t);
  t.match(await unaryCall(client, '/app.Api/Echo', text('')), {
    code: 2,
    text: 'cannot proxy request: missing dapr-callee-app-id or dapr-app-id metadata',
  });
  const untraced = 'failed to proxy request: required metadata dapr-callee-app-id or dapr-app-id not found';
  t.match(await unaryCall(client, '/dapr.proto.runtime.v1.Dapr/Nope', text('')), { code: 2, text: untraced });
  const off = await open(t, { tracing: false });
  t.match(await unaryCall(off.client, '/app.Api/Echo', text('')), { code: 2, text: untraced });
});

t.test('a target that is not found', async (t) => {
  const { client } = await open(t);
  t.match(await unaryCall(client, '/app.Api/Echo', text(''), { metadata: { 'dapr-app-id': 'nobody' } }), {
    code: 2,
    text: "couldn't find service: nobody",
  });
});

t.test('a policy with retries sends the one message again', async (t) => {
  const policy = retrying(3);
  const { client, seen } = await open(t, { policy, failures: 2 });
  const answer = await unaryCall(client, '/app.Api/Echo', text('again'), { metadata: TO_APP });
  t.match(answer, { code: 0, message: text('again') });
  t.same(answer.trailers.get('x-tail').slice(-1), ['t']);
  t.equal(seen.length, 3);
});

t.test('under a policy with retries a second message is refused', async (t) => {
  const { client } = await open(t, { policy: retrying(3) });
  const chat = openStream(client, '/app.Api/Chat', TO_APP);
  chat.call.write(text('a'));
  t.equal(Buffer.from(await chat.next()).toString(), 'a');
  chat.call.write(text('b'));
  t.same(await chat.status, {
    code: 9,
    text: 'cannot use resiliency policies with retries on streaming RPCs',
  });
});

t.test('a declared stream is under the policy only until it stands', async (t) => {
  const policy = retrying(3);
  const { client } = await open(t, { policy });
  const chat = openStream(client, '/app.Api/Chat', { ...TO_APP, 'dapr-stream': 'true' });
  for (const word of ['a', 'b', 'c']) {
    chat.call.write(text(word));
    t.equal(Buffer.from(await chat.next()).toString(), word);
  }
  t.same(policy.runs, [1]);
  chat.call.end();
  t.match(await chat.status, { code: 0 });
});

t.test('what is left of the deadline is told', async (t) => {
  const { client, timeouts } = await open(t);
  await unaryCall(client, '/app.Api/Echo', text('x'), {
    metadata: TO_APP,
    deadlineMs: systemClock().now() + 20_000,
  });
  await unaryCall(client, '/app.Api/Echo', text('x'), { metadata: TO_APP });
  const [given = 0, none] = timeouts;
  t.ok(given > 10_000 && given <= 20_000, String(given));
  t.equal(none, undefined);
});
