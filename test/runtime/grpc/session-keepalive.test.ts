import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import t from 'tap';
import { encodeFrame } from '../../../runtime/contracts/grpc-wire/frame.ts';
import { unaryMethod } from '../../../runtime/contracts/grpc-wire/service.ts';
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts';
import { BYTES, startServer } from '../../support/grpc-harness.ts';

interface Test {
  teardown(run: () => unknown): void;
}

const SERVICE = { name: 'a.B', methods: { C: unaryMethod(BYTES, BYTES, async (message) => message) } };

async function connected(t: Test): Promise<{ session: ClientHttp2Session; clock: FakeClock }> {
  const clock = fakeClock();
  const { port } = await startServer(t, [SERVICE], { clock });
  const session = connect(`http://127.0.0.1:${port}`);
  t.teardown(() => session.destroy());
  session.on('error', () => {});
  await once(session, 'remoteSettings');
  return { session, clock };
}

const ping = (session: ClientHttp2Session): Promise<boolean> =>
  new Promise((resolve) => {
    if (session.destroyed || !session.ping((error) => resolve(error === null))) resolve(false);
  });

const turns = async (): Promise<void> => {
  for (let n = 0; n < 5; n += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** Moves on in steps, so that the network has its turn in between. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5000) {
    await clock.advance(Math.min(5000, ms - passed));
    await turns();
  }
}

async function call(session: ClientHttp2Session): Promise<void> {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/a.B/C',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.resume();
  stream.end(encodeFrame(Buffer.from('x')));
  await once(stream, 'close');
}

t.test('pings every eight seconds are fine', async (t) => {
  const { session, clock } = await connected(t);
  for (let n = 0; n < 8; n += 1) {
    t.ok(await ping(session));
    await clock.advance(8000);
  }
  t.notOk(session.destroyed);
});

t.test('pings more often end the connection', async (t) => {
  const { session, clock } = await connected(t);
  const goaway = once(session, 'goaway');
  for (let n = 0; n < 5 && !session.destroyed; n += 1) {
    void ping(session);
    await turns();
    await clock.advance(1000);
  }
  const [code, , data] = await goaway;
  t.equal(code, 11);
  t.equal(String(data), 'too_many_pings');
});

t.test('pings between answers are not counted', async (t) => {
  const { session, clock } = await connected(t);
  for (let n = 0; n < 10; n += 1) {
    await call(session);
    t.ok(await ping(session));
    await clock.advance(100);
  }
  t.notOk(session.destroyed);
});

t.test('silence is pinged; a client that answers stays', async (t) => {
  const { session, clock } = await connected(t);
  let pings = 0;
  session.on('ping', () => {
    pings += 1;
  });
  await pass(clock, 60_000);
  t.ok(pings >= 4, `${pings} pings in a minute`);
  t.notOk(session.destroyed);
});

t.test('three minutes without a call send a GOAWAY', async (t) => {
  const { session, clock } = await connected(t);
  await call(session);
  const goaway = once(session, 'goaway');
  await pass(clock, 170_000);
  t.notOk(session.closed);
  await pass(clock, 20_000);
  const [code] = await goaway;
  t.equal(code, 0);
});
