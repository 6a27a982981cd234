import t from 'tap';
import { createFarLink } from '../../../../edge-components/drivers/dapr-api/far-link.ts';
import { type FarSidecar, LinkDownError } from '../../../../edge-components/drivers/dapr-api/far-sidecar.ts';
import { PROBE_INTERVAL_MS } from '../../../../edge-components/drivers/dapr-api/link-probe.ts';
import { until } from '../../../integration/support/until.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';

const OK = { status: 204, statusText: '', headers: {}, body: new Uint8Array(), truncated: false };

/** A link whose probes are counted and answered as `healthy` says. */
function rig() {
  const clock = fakeClock();
  const state = { probes: 0, healthy: false, back: 0 };
  let up = (): void => undefined;
  const far = {
    baseUrl: 'http://cloud',
    onUp: (run: () => void) => {
      up = run;
    },
    ask: async () => {
      state.probes += 1;
      if (!state.healthy) throw new LinkDownError('nobody');
      return OK;
    },
  } as unknown as FarSidecar;
  const link = createFarLink(far, { clock, log: recordingLogger(), componentName: 'cloud' }, () => {
    state.back += 1;
  });
  /** A request that ends when the test says so, or when the link gives it up. */
  const request = () => {
    let end = (_outcome: 'answered' | LinkDownError): void => undefined;
    const outcome = link
      .run(
        AbortSignal.timeout(60_000),
        (signal) =>
          new Promise<string>((resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason), { once: true });
            end = (outcome) => (outcome === 'answered' ? resolve(outcome) : reject(outcome));
          }),
      )
      .catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    return { outcome, end: (outcome: 'answered' | LinkDownError) => end(outcome) };
  };
  const lose = async () => {
    const one = request();
    one.end(new LinkDownError('refused'));
    await one.outcome;
  };
  return { clock, state, link, request, lose, up: () => up() };
}

t.test('a request of the dark is given up a moment after the probe was answered', async (t) => {
  const { clock, state, link, request, lose } = rig();
  const inTheDark = request();
  await lose();
  await clock.advance(3 * PROBE_INTERVAL_MS);
  t.same([state.probes, state.back], [3, 0]);
  state.healthy = true;
  await clock.advance(PROBE_INTERVAL_MS + 1000);
  t.equal(await inTheDark.outcome, 'the link was away meanwhile');
  await until('what waits to be told twice: of the link, and of what was given up', () => state.back === 2);
  link.close();
});

t.test('a request that is merely slower than the probe is not sent twice', async (t) => {
  const { clock, state, link, request, lose } = rig();
  await lose();
  await clock.advance(PROBE_INTERVAL_MS / 2);
  state.healthy = true;
  const slow = request();
  await clock.advance(PROBE_INTERVAL_MS / 2 + 100);
  t.equal(state.probes, 1);
  slow.end('answered');
  t.equal(await slow.outcome, 'answered');
  await clock.advance(10 * PROBE_INTERVAL_MS);
  await until('the link to be told', () => state.back === 1);
  t.equal(state.probes, 1);
  link.close();
});

t.test('an answered request ends the outage, one that began before the loss does not', async (t) => {
  const { clock, state, link, request, lose } = rig();
  const before = request();
  await clock.advance(10);
  await lose();
  before.end('answered');
  t.equal(await before.outcome, 'answered');
  await clock.advance(PROBE_INTERVAL_MS);
  t.equal(state.probes, 1, 'it says nothing of the link as it is now');
  const after = request();
  after.end('answered');
  t.equal(await after.outcome, 'answered');
  await until('the link to be told', () => state.back === 1);
  const { probes } = state;
  await clock.advance(10 * PROBE_INTERVAL_MS);
  t.equal(state.probes, probes, 'nothing more is asked');
  link.close();
});

t.test('what a gateway answers in the place of the far side does not end the outage', async (t) => {
  const { clock, state, link, lose } = rig();
  await lose();
  await clock.advance(1);
  await link.run(
    AbortSignal.timeout(60_000),
    async () => 503,
    (status) => status < 500,
  );
  await clock.advance(PROBE_INTERVAL_MS);
  t.equal(state.probes, 1);
  t.equal(state.back, 0);
  link.close();
});

t.test('where the way there is said to be up again, the probe does not wait for its turn', async (t) => {
  const { state, link, lose, up } = rig();
  up();
  t.equal(state.probes, 0, 'nothing was lost');
  await lose();
  state.healthy = true;
  up();
  await until('what waits to be told', () => state.back === 1);
  t.equal(state.probes, 1);
  link.close();
});
