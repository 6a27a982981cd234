import t from 'tap';
import type { Policy } from '../../../runtime/contracts/resiliency.ts';
import type { ResiliencyResource } from '../../../runtime/contracts/resource.ts';
import { createPolicies } from '../../../runtime/resiliency/policies.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const { signal } = new AbortController();

function resource(
  name: string,
  spec: Record<string, unknown>,
  scopes: readonly string[] = [],
): ResiliencyResource {
  return {
    kind: 'Resiliency',
    name,
    namespace: '',
    scopes,
    origin: { file: `${name}.yaml`, document: 1 },
    spec,
  };
}

function make(...resources: ResiliencyResource[]) {
  const clock = fakeClock();
  const log = recordingLogger();
  const records: { name: string; labels: Readonly<Record<string, string>>; value: number }[] = [];
  const put = (name: string, labels: Readonly<Record<string, string>>, value = 1) =>
    void records.push({ name, labels, value });
  const metrics = { count: put, observe: put, gauge: put };
  const policies = createPolicies({
    resources,
    appId: 'me',
    clock,
    random: seededRandom(1),
    metrics,
    log,
  });
  /** How often a failing call is made in a minute and a half. */
  const attempts = async (policy: Policy): Promise<number> => {
    let calls = 0;
    const running = policy.run(
      async () => {
        calls += 1;
        throw new Error('x');
      },
      { signal },
    );
    running.catch(() => {});
    await clock.advance(90_000);
    return calls;
  };
  return { clock, log, records, policies, attempts };
}

const constant = (maxRetries: number) => ({ policy: 'constant', duration: '50ms', maxRetries });

t.test('targets use the policies they name', async (t) => {
  const { policies, attempts } = make(
    resource('r', {
      policies: { retries: { two: constant(2), zero: constant(0) }, timeouts: { brief: '250ms' } },
      targets: {
        apps: { a: { retry: 'two', timeout: 'brief' }, z: { retry: 'zero' } },
        components: { c: { inbound: { retry: 'two' } } },
        actors: { cat: { retry: 'two' } },
      },
    }),
  );
  t.equal(await attempts(policies.app('a')), 3);
  t.equal(await attempts(policies.app('z')), 1);
  t.equal(policies.app('z').retries, false);
  t.equal(policies.app('other').active, false);
  t.equal(await attempts(policies.componentInbound('c', 'Pubsub')), 3);
  t.equal(policies.componentOutbound('c', 'Pubsub').active, false);
  t.equal(await attempts(policies.actor('cat', '1')), 3);
  t.same(policies.names(), ['r']);
});

t.test('default policies go to targets without an entry, the most specific first', async (t) => {
  const { policies, attempts } = make(
    resource('r', {
      policies: {
        retries: {
          DefaultRetryPolicy: constant(1),
          DefaultAppRetryPolicy: constant(2),
          DefaultComponentRetryPolicy: constant(3),
          DefaultComponentOutboundRetryPolicy: constant(4),
          DefaultStatestoreComponentOutboundRetryPolicy: constant(5),
        },
      },
      targets: { components: { own: {} } },
    }),
  );
  t.equal(await attempts(policies.app('x')), 3);
  t.equal(await attempts(policies.actor('x', '1')), 2);
  t.equal(await attempts(policies.componentInbound('x', 'Pubsub')), 4);
  t.equal(await attempts(policies.componentOutbound('x', 'Pubsub')), 5);
  t.equal(await attempts(policies.componentOutbound('x', 'Statestore')), 6);
  t.equal(policies.componentOutbound('own', 'Pubsub').active, false, 'an entry of its own decides alone');
  t.equal(policies.hasAppPolicy('anything'), true);
});

t.test('which apps have a policy', async (t) => {
  t.equal(make().policies.hasAppPolicy('a'), false);
  const { policies } = make(resource('r', { targets: { apps: { a: {} } } }));
  t.equal(policies.hasAppPolicy('a'), true);
  t.equal(policies.hasAppPolicy('b'), false);
});

t.test('built-in retries, redefinable but never below three', async (t) => {
  const plain = make();
  t.equal(await plain.attempts(plain.policies.builtIn('DaprBuiltInServiceRetries')), 4);
  t.equal(await plain.attempts(plain.policies.builtIn('DaprBuiltInInitializationRetries')), 4);
  t.equal(await plain.attempts(plain.policies.builtIn('DaprBuiltInActorNotFoundRetries')), 6);
  t.equal(plain.policies.builtIn('Unknown').active, false);
  const { policies, attempts, log } = make(
    resource('r', {
      policies: {
        retries: {
          DaprBuiltInServiceRetries: constant(1),
          DaprBuiltInActorRetries: constant(7),
          DaprBuiltInActorNotFoundRetries: constant(9),
        },
      },
    }),
  );
  t.equal(await attempts(policies.builtIn('DaprBuiltInServiceRetries')), 4);
  t.equal(await attempts(policies.builtIn('DaprBuiltInActorRetries')), 8);
  t.equal(await attempts(policies.builtIn('DaprBuiltInActorNotFoundRetries')), 6);
  t.equal(log.lines.filter((line) => line.level === 'warn' && /Attempted/.test(line.message)).length, 2);
});

t.test('circuit breakers: one per app address, one per component and direction', async (t) => {
  const trip = { trip: 'consecutiveFailures > 0', timeout: '60s' };
  const { policies } = make(
    resource('r', {
      policies: { circuitBreakers: { quick: trip } },
      targets: {
        apps: { a: { circuitBreaker: 'quick' } },
        components: { c: { inbound: { circuitBreaker: 'quick' }, outbound: { circuitBreaker: 'quick' } } },
        actors: { cat: { circuitBreaker: 'quick', circuitBreakerScope: 'id' } },
      },
    }),
  );
  const fail = (policy: Policy) =>
    t.rejects(
      policy.run(() => Promise.reject(new Error('down')), { signal }),
      { message: 'down' },
    );
  const isOpen = async (policy: Policy) => {
    try {
      await policy.run(async () => 'ok', { signal });
      return false;
    } catch (error) {
      return (error as Error).message === 'circuit breaker is open';
    }
  };
  await fail(policies.app('a', 'one:1'));
  t.equal(await isOpen(policies.app('a', 'one:1')), true);
  t.equal(await isOpen(policies.app('a', 'two:1')), false);
  await fail(policies.componentInbound('c', 'Pubsub'));
  t.equal(await isOpen(policies.componentInbound('c', 'Pubsub')), true);
  t.equal(await isOpen(policies.componentOutbound('c', 'Pubsub')), false);
  await fail(policies.actor('cat', 'tom'));
  t.equal(await isOpen(policies.actor('cat', 'tom')), true);
  t.equal(await isOpen(policies.actor('cat', 'felix')), false);
});

t.test('an invalid resource is logged with what is wrong and leaves no trace', async (t) => {
  const { policies, log } = make(
    resource('bad', {
      policies: {
        timeouts: { x: 'soon' },
        retries: { DefaultRetryPolicy: constant(1), q: { policy: 'linear' } },
        circuitBreakers: { b: { trip: 'failures > 1' } },
      },
    }),
    resource('good', {
      policies: { timeouts: { y: 1000 } },
      targets: { apps: { a: { timeout: 'y', retry: 'nowhere' } } },
    }),
    resource('foreign', { targets: { apps: { z: {} } } }, ['other-app']),
  );
  t.same(policies.names(), ['good']);
  t.equal(policies.componentOutbound('c', 'Lock').active, false);
  t.equal(policies.hasAppPolicy('z'), false);
  const [error] = log.lines.filter((line) => line.level === 'error');
  t.match(error?.message, /bad.*spec\.policies\.timeouts\.x: expected a duration.*'soon'/);
  t.match(error?.message, /spec\.policies\.retries\.q\.policy: expected constant or exponential/);
  t.match(error?.message, /spec\.policies\.circuitBreakers\.b\.trip: unknown name 'failures'/);
  t.equal(policies.app('a').active, true);
  t.match(
    log.lines.find((line) => line.level === 'warn')?.message,
    /app\[a\] names the unknown resiliency policy 'nowhere'/,
  );
});

t.test('actor circuit breakers need a scope', async (t) => {
  const { policies, log } = make(resource('r', { targets: { actors: { cat: { circuitBreaker: 'x' } } } }));
  t.same(policies.names(), []);
  t.match(log.lines.at(-1)?.message, /actor circuit breakers must include scope/);
});

t.test('metrics carry Dapr names and labels', async (t) => {
  const { policies, attempts, records } = make(
    resource('r', {
      policies: {
        retries: { two: constant(2) },
        circuitBreakers: { cb: { trip: 'consecutiveFailures > 1' } },
      },
      targets: { components: { c: { outbound: { retry: 'two', circuitBreaker: 'cb' } } } },
    }),
  );
  await attempts(policies.componentOutbound('c', 'Binding'));
  const labels = { name: 'r', namespace: '', flow_direction: 'outbound', target: 'Binding_c' };
  t.match(records, [
    { name: 'resiliency_loaded', labels: { name: 'r', namespace: '' } },
    { name: 'resiliency_count', labels: { ...labels, policy: 'retry', status: '' } },
    { name: 'resiliency_count', labels: { ...labels, policy: 'circuitbreaker', status: 'closed' } },
  ]);
  t.ok(records.some((r) => r.name === 'resiliency_activations_total' && r.labels['policy'] === 'retry'));
  t.ok(records.some((r) => r.name === 'resiliency_activations_total' && r.labels['status'] === 'open'));
  t.equal(
    records.findLast((r) => r.name === 'resiliency_cb_state' && r.labels['status'] === 'open')?.value,
    1,
  );
});
