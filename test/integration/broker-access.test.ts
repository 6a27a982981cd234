// Listeners, users and the access list by flags, on the package: TLS with certificates, passwords beside it, new rules by
// SIGHUP, dropped messages on the metrics port, and flags that would leave the door open.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import t from 'tap';
import { CA_CERT, CLIENT_CERT, CLIENT_KEY, SERVER_CERT, SERVER_KEY } from '../support/test-certificates.ts';
import { call } from './support/http-call.ts';
import { nodesDirectory, runToEnd, startSidecar } from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { freePort } from './support/ports.ts';
import { until } from './support/until.ts';

t.test('certificates, users, access list and their change', async (t) => {
  const directory = nodesDirectory(t);
  const file = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  const acl = file('acl', 'user client\ntopic readwrite own/#\nuser anna\ntopic read own/#\n');
  const [tlsPort, wssPort] = [await freePort(), await freePort()];
  const node = await startSidecar(t, {
    appId: 'door',
    args: [
      ...['--mqtt-tls-port', `${tlsPort}`, '--mqtt-wss-port', `${wssPort}`],
      ...[
        '--mqtt-tls-cert-file',
        file('cert.pem', SERVER_CERT),
        '--mqtt-tls-key-file',
        file('key.pem', SERVER_KEY),
      ],
      ...['--mqtt-tls-ca-file', file('ca.pem', CA_CERT)],
      ...['--mqtt-users-file', file('users', 'anna:secret\n'), '--mqtt-acl-file', acl],
    ],
  });
  const certified = { ca: CA_CERT, cert: CLIENT_CERT, key: CLIENT_KEY, reconnectPeriod: 0 };
  const device = await mqtt.connectAsync(`mqtts://127.0.0.1:${tlsPort}`, {
    ...certified,
    protocolVersion: 5,
  });
  const page = await mqtt.connectAsync(`wss://127.0.0.1:${wssPort}/`, certified);
  const anna = await mqtt.connectAsync(node.mqttUrl, {
    username: 'anna',
    password: 'secret',
    protocolVersion: 5,
  });
  t.teardown(() => {
    for (const client of [device, page, anna]) client.end(true);
  });
  await t.rejects(mqtt.connectAsync(node.mqttUrl, { reconnectPeriod: 0 }), { message: /Not authorized/ });
  const got: string[] = [];
  anna.on('message', (topic, payload) => got.push(`${topic} ${payload.toString()}`));
  await anna.subscribeAsync('own/#', { qos: 1 });
  await device.publishAsync('own/a', '1', { qos: 1 });
  await page.publishAsync('own/b', '2', { qos: 1 });
  await until('both messages', () => got.length === 2);
  t.same(got, ['own/a 1', 'own/b 2']);
  await t.rejects(anna.publishAsync('own/a', 'x', { qos: 1 }), { message: /Not authorized/ });
  const metrics = await call(`http://127.0.0.1:${node.ports.metrics}/metrics`);
  t.match(metrics.text, /dapr_broker_messages_dropped_total\{[^}]*reason="not-authorized"[^}]*\} 1/);

  file('acl', 'user anna\ntopic readwrite #\n');
  process.kill(node.pid, 'SIGHUP');
  await until('the new rules', () =>
    anna.publishAsync('own/a', 'mine', { qos: 1 }).then(
      () => true,
      () => false,
    ),
  );
  await t.rejects(device.publishAsync('own/a', 'x', { qos: 1 }), { message: /Not authorized/ });
});

t.test('an open door is refused, and so is a TLS port without a certificate', async (t) => {
  const start = (...flags: string[]) => runToEnd(t, program('daprd'), ['--app-id', 'open', ...flags]);
  const tls = await start('--mqtt-tls-port', '8883');
  t.not(tls.code, 0);
  t.match(
    tls.output,
    /--mqtt-tls-port and --mqtt-wss-port need --mqtt-tls-cert-file and --mqtt-tls-key-file/,
  );
  const policy = await start('--mqtt-queue-policy', 'panic');
  t.match(policy.output, /invalid argument "panic" for --mqtt-queue-policy: expected drop-oldest/);
});
