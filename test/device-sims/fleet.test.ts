/** The simulated fleet on the embedded broker: determinism, real MQTT, faults, commands. */

import t from 'tap';
import { FAULTS, faultPlan, parseFaults } from '../../device-sims/faults.ts';
import { PROFILES, startFleet } from '../../device-sims/fleet.ts';
import { doorContact } from '../../device-sims/profiles/door-contact.ts';
import { thermometer } from '../../device-sims/profiles/thermometer.ts';
import { valve } from '../../device-sims/profiles/valve.ts';
import { seededRandom } from '../../device-sims/seeded-random.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { collect, startRig } from '../edge-components/broker/broker-rig.ts';

const NOW = 1_700_000_000_000;

t.test('one seed gives one device, another seed another', async (t) => {
  const readings = (seed: number): string[] => {
    const random = seededRandom(seed);
    const device = thermometer.create(random);
    return Array.from({ length: 5 }, () =>
      Buffer.from(device.measure({ now: NOW, random }).payload).toString(),
    );
  };
  t.same(readings(1), readings(1));
  t.notSame(readings(1), readings(2));
  t.match(readings(1)[0], /^\{"celsius":-?\d+(\.\d+)?,"at":"2023-11-14T22:13:20Z"\}$/);
});

t.test('a valve obeys positions from 0 to 100 and nothing else', async (t) => {
  const random = seededRandom(1);
  const device = valve.create(random);
  const command = (text: string) => device.command?.(Buffer.from(text), { now: NOW, random });
  t.match(Buffer.from(command('{"position":40}')?.payload ?? []).toString(), /"position":40/);
  for (const refused of ['{"position":101}', '{"position":"open"}', '{}', 'no json'])
    t.equal(command(refused), undefined, refused);
  t.match(Buffer.from(device.measure({ now: NOW, random }).payload).toString(), /"position":40/);
});

t.test('faults', async (t) => {
  t.same(parseFaults('disconnects, malformed'), ['disconnects', 'malformed']);
  t.same(parseFaults('none'), []);
  t.throws(() => parseFaults('fire'), { message: /unknown fault 'fire': expected disconnects, bursts/ });
  const reading = {
    measurement: 'm',
    payload: Buffer.from('{"celsius":20}'),
    qos: 1 as const,
    retain: false,
  };
  const spoiled = (faults: typeof FAULTS | readonly []): number => {
    const plan = faultPlan(faults, seededRandom(3), NOW);
    return Array.from({ length: 1000 }, () => plan.spoil(reading)).filter((one) => one !== reading).length;
  };
  t.equal(spoiled([]), 0);
  t.ok(spoiled(FAULTS) > 20 && spoiled(FAULTS) < 100, 'about 5 %');
  const offsets = Array.from(
    { length: 50 },
    (_, seed) => faultPlan(['wrong-clock'], seededRandom(seed), NOW).clockOffsetMs,
  );
  t.ok(offsets.includes(0) && offsets.includes(-NOW), 'some clocks are right, some stand at 1970');
});

t.test('a fleet publishes on real MQTT and counts what the broker confirmed', async (t) => {
  const rig = await startRig(t.testdir());
  const watcher = await rig.client();
  const got = collect(watcher);
  await watcher.subscribeAsync('devices/#', { qos: 1 });
  const fleet = await startFleet({
    broker: `mqtt://127.0.0.1:${rig.port}`,
    devices: 4,
    rate: 50,
    seed: 7,
    faults: ['bursts', 'malformed'],
    clock: systemClock(),
  });
  t.equal(fleet.connected(), 4);
  t.same(fleet.ids, ['thermometer-1', 'door-contact-2', 'power-meter-3', 'valve-4']);
  await got.until(40);
  await watcher.publishAsync('devices/valve-4/set', '{"position":70}', { qos: 1 });
  while (!got.lines.some((line) => line.startsWith('devices/valve-4/state {"position":70')))
    await got.until(got.lines.length + 1);
  await fleet.stop();
  const counts = fleet.counts();
  t.same(
    Object.keys(counts),
    PROFILES.map((profile) => profile.name),
  );
  for (const [name, { sent, acknowledged, dropped }] of Object.entries(counts)) {
    t.ok(sent > 0, name);
    t.equal(sent, acknowledged + dropped, `${name}: every message is accounted for`);
    t.equal(dropped, 0, name);
  }
  t.equal(counts['valve']?.commands, 1);
  t.equal(rig.broker.status().retainedMessages, 2, 'door contact and valve');
  await rig.stop();
});

t.test('devices whose connection breaks come back with what was not confirmed', async (t) => {
  const rig = await startRig(t.testdir());
  const watcher = await rig.client({ clientId: 'watcher', clean: false });
  const got = collect(watcher);
  await watcher.subscribeAsync('devices/#', { qos: 1 });
  const fleet = await startFleet({
    broker: `mqtt://127.0.0.1:${rig.port}`,
    devices: 2,
    rate: 100,
    seed: 11,
    faults: ['disconnects'],
    clock: systemClock(),
    profiles: [thermometer, doorContact],
  });
  await got.until(60);
  await fleet.stop();
  const total = Object.values(fleet.counts()).reduce((sum, one) => sum + one.acknowledged, 0);
  const received = await got.until(total);
  t.ok(new Set(received).size <= total);
  for (const { sent, acknowledged } of Object.values(fleet.counts())) t.equal(sent, acknowledged);
  await rig.stop();
});

t.test('bad options and an absent broker are clear errors', async (t) => {
  const options = { broker: 'mqtt://127.0.0.1:1', devices: 1, rate: 1, seed: 1, clock: systemClock() };
  await t.rejects(startFleet({ ...options, devices: 0 }), {
    message: 'devices: expected a positive integer, got 0',
  });
  await t.rejects(startFleet({ ...options, rate: 0 }), {
    message: 'rate: expected a positive number, got 0',
  });
  await t.rejects(startFleet(options), {
    message: /thermometer-1 cannot connect to mqtt:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/,
  });
});
