// `npm start` on the built package: the story with an outage, a run that is ended by Ctrl-C, and ports that are taken.

import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import { nodesDirectory, startProcess } from './support/node-process.ts';
import { packageFolder } from './support/package-folder.ts';
import { freePort } from './support/ports.ts';
import { says, until } from './support/until.ts';

// They mostly wait, and longer where other tests share the machine.
t.setTimeout(120_000);
t.jobs = 3;

const PORTS = ['http', 'grpc', 'mqtt', 'app', 'cloud-http', 'cloud-grpc', 'cloud-app', 'relay'] as const;
type Ports = Readonly<Record<(typeof PORTS)[number], number>>;

async function demoPorts(): Promise<Ports> {
  const found: Partial<Record<keyof Ports, number>> = {};
  for (const name of PORTS) found[name] = await freePort();
  return found as Ports;
}

function startDemo(t: Test, ports: Ports, ...args: readonly string[]) {
  const script = resolve(import.meta.dirname, '../../build/start.ts');
  const given = PORTS.map((name) => `--${name}-port=${ports[name]}`);
  const folder = `--folder=${join(nodesDirectory(t), 'demo')}`;
  const env = { ...process.env, SKERRY_PACKAGE: packageFolder() };
  return startProcess(t, process.execPath, [script, ...given, folder, ...args], { env });
}

t.test('an outage: nothing lost, both stores equal, the cloud calls again', { buffered: true }, async (t) => {
  const demo = startDemo(t, await demoPorts(), '--cloud-outage=1s', '--devices=8', '--rate=4');
  const { code, output } = await demo.ended;
  if (!t.equal(code, 0)) t.comment(output);
  t.match(output, /\d+ readings from \d+ devices .* cloud on/);
  t.match(output, /sync: last readings are in the cloud \(caught up\)/);
  t.match(output, /the cloud's setting "alarm above 22 °C" made \d+ alarms/);
  t.match(output, /cloud called gateway's app through the relay: \d+ readings/);
  t.match(output, /accepted (\d+) = delivered \1 \+ pending 0 \+ dropped 0/);
  t.match(output, /received \d+ readings: 0 lost, 0 repeated, 0 out of order/);
  t.match(output, /Sync: (\d+) of \1 last readings are the same/);
  t.match(output, /Relay: the cloud app reaches the gateway's app again/);
});

t.test('what it says to try works, and Ctrl-C ends it with 0', { buffered: true }, async (t) => {
  const ports = await demoPorts();
  const demo = startDemo(t, ports, '--devices=4', '--rate=4');
  await until('the demo to be up', () => demo.output().includes('Ctrl-C ends everything'), 60_000);
  await says(t, demo, `curl http://localhost:${ports['cloud-http']}/v1.0/invoke/gateway/method/stats`);
  const cloud = `http://127.0.0.1:${ports['cloud-http']}/v1.0`;
  const gateway = (): Promise<{ readonly status: number; readonly text: string }> =>
    call(`${cloud}/invoke/gateway/method/stats`);
  t.equal((await gateway()).status, 200, 'from the cloud to the edge, by name');
  const setting = [{ key: 'site-1.settings', value: { alarmAbove: 7 } }];
  t.equal((await call(`${cloud}/state/statestore`, { body: setting })).status, 204);
  await until('the setting at the gateway', async () => (await gateway()).text.includes('"alarmAbove":7'));
  demo.child.kill('SIGINT');
  const { code, output } = await demo.ended;
  if (!t.equal(code, 0)) t.comment(output);
  t.match(output, /Stopped\.\n$/);
});

t.test('a port that is taken is named, with the option that changes it', { buffered: true }, async (t) => {
  const ports = await demoPorts();
  const squatter = createServer();
  await new Promise<void>((done) => squatter.listen(ports.relay, '127.0.0.1', done));
  t.teardown(() => squatter.close());
  const { code, output } = await startDemo(t, ports).ended;
  t.equal(code, 1);
  t.match(
    output,
    `Port ${ports.relay} (the cloud's relay, which the gateway dials) is in use; choose another with: npm start -- --relay-port PORT`,
  );
});
