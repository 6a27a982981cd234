/** Output bindings, input bindings and what an app's reply sets off. */

import t from 'tap';
import {
  createInputBindings,
  type InputBindings,
} from '../../../../runtime/building-blocks/bindings/input.ts';
import { createBindingsBlock } from '../../../../runtime/building-blocks/bindings/output.ts';
import { createReplyActions } from '../../../../runtime/building-blocks/bindings/reply-actions.ts';
import type { AppChannel, BindingReply } from '../../../../runtime/contracts/app-channel.ts';
import {
  BindingError,
  type BindingHandler,
  type BindingRequest,
} from '../../../../runtime/contracts/binding.ts';
import type { BindingsBlock, StateBlock } from '../../../../runtime/contracts/blocks.ts';
import type { LoadedComponent } from '../../../../runtime/contracts/component-source.ts';
import type { Policy } from '../../../../runtime/contracts/resiliency.ts';
import {
  type BlockRig,
  blockRig,
  loaded,
  noPolicy,
  refusal,
  retrying,
  spanOf,
} from '../../../support/block-rig.ts';

const never = new AbortController().signal;
const data = (text = ''): Uint8Array => Buffer.from(text);

// ---- output

function output(
  run: (request: BindingRequest) => Promise<{ data?: Uint8Array } | undefined>,
  operations = ['create', 'get'],
) {
  return loaded('bindings', 'out', { operations, invoke: run });
}

t.test('output: the component gets operation, data, metadata and trace', async (t) => {
  const seen: BindingRequest[] = [];
  const component = output(async (request) => {
    seen.push(request);
    return { data: data('answer') };
  });
  const rig = blockRig([component], noPolicy, {
    span: spanOf({ traceparent: 'tp', tracestate: 'ts', baggage: 'b=1' }),
  });
  const request = { operation: 'get', data: data('x'), metadata: { a: '1' } };
  const answer = await createBindingsBlock(rig).invoke('out', request, rig.call);
  t.equal(Buffer.from(answer?.data ?? []).toString(), 'answer');
  t.match(seen, [
    { operation: 'get', metadata: { a: '1', traceparent: 'tp', tracestate: 'ts', baggage: 'b=1' } },
  ]);
  t.strictSame(rig.counted, ['component_output_binding_count out get true']);
});

t.test('output: nothing at all is an answer', async (t) => {
  const rig = blockRig([output(async () => undefined)]);
  const request = { operation: 'get', data: data(), metadata: {} };
  t.equal(await createBindingsBlock(rig).invoke('out', request, rig.call), undefined);
});

t.test('output: what is refused before the component, with the words of daprd', async (t) => {
  const input = loaded('bindings', 'in', { operations: [], read: async () => ({ close: async () => {} }) });
  const rig = blockRig([output(async () => undefined), input]);
  const message = async (name: string, operation: string): Promise<string> => {
    const request = { operation, data: data(), metadata: {} };
    const refused = await refusal(createBindingsBlock(rig).invoke(name, request, rig.call));
    t.match(refused, { status: 500, code: 'ERR_INVOKE_OUTPUT_BINDING' });
    return refused.message;
  };
  const start = 'error invoking output binding';
  t.equal(await message('out', ''), `${start} out: operation field is missing from request`);
  t.equal(await message('nope', ''), `${start} nope: operation field is missing from request`);
  t.equal(await message('nope', 'get'), `${start} nope: couldn't find output binding nope`);
  t.equal(await message('in', 'get'), `${start} in: couldn't find output binding in`);
  t.equal(
    await message('out', 'GET'),
    `${start} out: binding out does not support operation GET. supported operations:create get`,
  );
  t.strictSame(rig.counted, [
    'component_output_binding_count out  false',
    'component_output_binding_count nope  false',
    'component_output_binding_count nope get false',
    'component_output_binding_count in get false',
    'component_output_binding_count out GET false',
  ]);
});

t.test('output: a failure keeps the metadata of the far side', async (t) => {
  const rig = blockRig([
    output(async () => {
      throw new BindingError('received status code 404', { metadata: { statusCode: '404' } });
    }),
  ]);
  const request = { operation: 'get', data: data(), metadata: {} };
  const refused = await refusal(createBindingsBlock(rig).invoke('out', request, rig.call));
  t.equal(refused.message, 'error invoking output binding out: received status code 404');
  t.strictSame(refused.error.options.responseMetadata, { statusCode: '404' });
});

// ---- input

interface InputRig {
  readonly rig: BlockRig;
  readonly inputs: InputBindings;
  readonly probes: string[];
  readonly deliveries: string[];
  readonly handlers: BindingHandler[];
  readonly closed: () => number;
}

function input(
  options: {
    readonly metadata?: Readonly<Record<string, string>>;
    readonly wants?: () => Promise<boolean>;
    readonly deliver?: () => Promise<BindingReply>;
    readonly policy?: Policy;
    readonly read?: () => Promise<void>;
  } = {},
): InputRig {
  const probes: string[] = [];
  const deliveries: string[] = [];
  const handlers: BindingHandler[] = [];
  let closed = 0;
  const component = loaded(
    'bindings',
    'tick',
    {
      operations: [],
      read: async (handler) => {
        await options.read?.();
        handlers.push(handler);
        return {
          close: async () => {
            closed += 1;
          },
        };
      },
    },
    { metadata: options.metadata ?? {} },
  );
  const rig = blockRig(
    [component, loaded('bindings', 'out', { operations: ['create'], invoke: async () => undefined })],
    options.policy,
  );
  const channel = {
    wantsBinding: async (name: string, route: string) => {
      probes.push(`${name} ${route}`);
      return await (options.wants?.() ?? Promise.resolve(true));
    },
    deliverBinding: async (name: string, route: string, event: { data: Uint8Array }) => {
      deliveries.push(`${name} ${route} ${Buffer.from(event.data)}`);
      return await (options.deliver?.() ?? Promise.resolve({ data: data('reply'), httpStatus: 200 }));
    },
  } as unknown as AppChannel;
  const inputs = createInputBindings({
    ...rig,
    appChannel: () => channel,
    replies: { run: async () => {} },
    probeTimeoutMs: 1000,
    tracer: { enabled: false, start: () => spanOf() },
  });
  return { rig, inputs, probes, deliveries, handlers, closed: () => closed };
}

t.test('input: asks the app, delivers, hands the reply to the component', async (t) => {
  const { rig, inputs, probes, deliveries, handlers } = input();
  await inputs.start();
  t.strictSame(probes, ['tick /tick']);
  const reply = await handlers[0]?.({ data: data('e'), metadata: {} }, never);
  t.equal(Buffer.from(reply ?? []).toString(), 'reply');
  t.strictSame(deliveries, ['tick /tick e']);
  t.strictSame(rig.counted, ['component_input_binding_count tick true']);
});

t.test('input: route and direction', async (t) => {
  const route = input({ metadata: { Route: '/custom/tick' } });
  await route.inputs.start();
  t.strictSame(route.probes, ['tick /custom/tick']);
  const direct = input({ metadata: { direction: 'input, output' }, wants: async () => false });
  await direct.inputs.start();
  t.strictSame([direct.probes.length, direct.handlers.length], [0, 1], 'not asked, yet delivered');
  const outputOnly = input({ metadata: { direction: 'output' } });
  await outputOnly.inputs.start();
  t.strictSame([outputOnly.probes.length, outputOnly.handlers.length], [0, 0]);
});

t.test('input: an app that does not want it, or does not answer', async (t) => {
  for (const wants of [async () => false, () => Promise.reject(new Error('no app'))]) {
    const { inputs, handlers, rig } = input({ wants });
    await inputs.start();
    t.equal(handlers.length, 0);
    t.match(rig.log.lines.at(-1)?.message, 'app has not subscribed to binding tick.');
  }
});

t.test('input: starting twice opens once; stopping ends what is open', async (t) => {
  const { inputs, handlers, closed } = input();
  await Promise.all([inputs.start(), inputs.start()]);
  await inputs.start();
  t.equal(handlers.length, 1);
  await inputs.stop();
  t.equal(closed(), 1);
  await inputs.start();
  t.equal(handlers.length, 2, 'and it may start again');
});

t.test('input: a stop in the middle of a start leaves nothing open', async (t) => {
  const probe = Promise.withResolvers<boolean>();
  const early = input({ wants: () => probe.promise });
  const starting = early.inputs.start();
  await early.inputs.stop();
  probe.resolve(true);
  await starting;
  t.equal(early.handlers.length, 0);
  const opening = Promise.withResolvers<void>();
  const reading = Promise.withResolvers<void>();
  const late = input({
    read: () => {
      reading.resolve();
      return opening.promise;
    },
  });
  const second = late.inputs.start();
  await reading.promise;
  await late.inputs.stop();
  opening.resolve();
  await second;
  t.equal(late.closed(), 1, 'what opened after the stop is closed again');
});

t.test('input: components come and go while the app is healthy', async (t) => {
  const steps: string[] = [];
  const ticker = (name: string) =>
    loaded('bindings', name, {
      operations: [],
      read: async () => {
        steps.push(`read ${name}`);
        return { close: async () => void steps.push(`close ${name}`) };
      },
    });
  const all = new Map([['a', ticker('a')]]);
  const rig = blockRig([]);
  const inputs = createInputBindings({
    ...rig,
    components: {
      get: (_category, name) => all.get(name) as never,
      list: () => [...all.values()] as never,
      onChange: () => () => {},
    },
    appChannel: () => ({ wantsBinding: async () => true }) as unknown as AppChannel,
    replies: { run: async () => {} },
    probeTimeoutMs: 1000,
    tracer: { enabled: false, start: () => spanOf() },
  });
  await inputs.reload();
  t.strictSame(steps, [], 'not before the app is healthy');
  await inputs.start();
  all.set('b', ticker('b'));
  await inputs.reload();
  all.delete('a');
  all.set('b', ticker('b'));
  await inputs.reload();
  t.strictSame(steps.splice(0), ['read a', 'read b', 'close a', 'close b', 'read b']);
  await inputs.stop();
  all.set('c', ticker('c'));
  await inputs.reload();
  t.strictSame(steps, ['close b']);
});

t.test('input: one that cannot be read shows in the log', async (t) => {
  const { inputs, rig } = input({ read: () => Promise.reject(new Error('no broker')) });
  await inputs.start();
  t.match(rig.log.lines, [{ level: 'error', message: 'error reading from input binding tick: no broker' }]);
});

t.test(
  'input: a failing app fails the event; under a retry policy all but 200 count as failures',
  async (t) => {
    const plain = input({ deliver: () => Promise.reject(new Error('status 500')) });
    await plain.inputs.start();
    await t.rejects(async () => void (await plain.handlers[0]?.({ data: data(), metadata: {} }, never)), {
      message: 'status 500',
    });
    t.strictSame(plain.rig.counted, ['component_input_binding_count tick false']);
    let attempt = 0;
    const retried = input({
      policy: retrying(5),
      deliver: async () => {
        attempt += 1;
        if (attempt === 1) throw new Error('status 500');
        return { httpStatus: attempt === 2 ? 202 : 200 };
      },
    });
    await retried.inputs.start();
    await retried.handlers[0]?.({ data: data(), metadata: {} }, never);
    t.equal(attempt, 3);
  },
);

// ---- replies

function replies() {
  const done: string[] = [];
  const rig = blockRig([]);
  const state = {
    save: async (
      store: string,
      items: readonly { key: string; value: { bytes: Uint8Array; json: boolean } }[],
    ) => {
      done.push(
        `save ${store} ${items.map(({ key, value }) => `${key}=${Buffer.from(value.bytes)}/${value.json}`).join(',')}`,
      );
    },
  } as unknown as StateBlock;
  const bindings: BindingsBlock = {
    invoke: async (name, request) => {
      done.push(`${name} ${request.operation} ${Buffer.from(request.data)}`);
      if (name === 'bad') throw new Error('no');
      return undefined;
    },
  };
  const actions = createReplyActions({ state, bindings, context: () => rig.call });
  const run = async (
    reply: BindingReply,
    more: Partial<LoadedComponent<'bindings'>> = {},
  ): Promise<readonly string[]> => {
    done.length = 0;
    await actions.run(loaded('bindings', 'in', { operations: [] }, more), reply, never);
    return [...done];
  };
  return { run, done };
}

const REPLY: BindingReply = {
  data: data('d'),
  storeName: 'mem',
  states: [{ key: 'k', value: data('1') }],
  to: ['a', 'b'],
};

t.test('reply: a gRPC app saves state, then calls bindings', async (t) => {
  const { run, done } = replies();
  t.strictSame(await run(REPLY), ['save mem k=1/false', 'a create d', 'b create d']);
  t.strictSame(await run({ to: ['a'], data: data('reply'), outputData: data('inner') }), ['a create inner']);
  t.strictSame(await run({ to: ['a'] }), ['a create ']);
  t.strictSame(await run({ storeName: '', states: REPLY.states ?? [] }), []);
  await t.rejects(run({ ...REPLY, to: ['bad', 'b'] }), { message: 'no' }, 'the event is not acknowledged');
  t.strictSame(done, ['save mem k=1/false', 'bad create d'], 'one after the other');
  t.strictSame(await run({ to: ['a', 'b'], concurrency: 'parallel' }), ['a create ', 'b create ']);
});

t.test('reply: an HTTP app only where the component says so', async (t) => {
  const { run } = replies();
  const reply: BindingReply = { ...REPLY, httpStatus: 200 };
  t.strictSame(await run(reply), []);
  t.strictSame(await run(reply, { metadata: { replyActions: 'true' } }), [
    'save mem k=1/true',
    'a create d',
    'b create d',
  ]);
  t.equal((await run(reply, { type: 'bindings.MQTT3' })).length, 3, 'on by default for devices');
  t.strictSame(await run(reply, { type: 'bindings.mqtt3', metadata: { replyactions: 'false' } }), []);
});
