/** Wrong bits in what the broker keeps: noticed, told, set aside, and never delivered as if it were right. */

import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { type Rig, startRig } from './broker-rig.ts';

/** Runs statements on the file of a broker that has ended. */
function alter(directory: string, ...statements: string[]): void {
  const file = new Database(join(directory, 'node.db'));
  for (const statement of statements) file.exec(statement);
  file.close();
}

function aside(directory: string): unknown[] {
  const file = new Database(join(directory, 'node.db'), { readonly: true });
  const rows = file.prepare('SELECT kind, name, topic FROM mqtt_damaged ORDER BY id').all();
  file.close();
  return rows;
}

/** What a client of this session gets, up to and with the message `end` that is sent now. */
async function received(rig: Rig, clientId: string): Promise<string[]> {
  const client = await rig.client({ clientId, clean: false }, false);
  const got: string[] = [];
  const ended = new Promise<void>((resolve) => {
    client.on('message', (topic, payload) => {
      if (payload.toString() === 'end') resolve();
      else got.push(`${topic} ${payload}`);
    });
  });
  await new Promise<void>((resolve) => client.once('connect', () => resolve()));
  await client.publishAsync('plain/end', 'end', { qos: 1 });
  await ended;
  await client.endAsync();
  return got;
}

async function prepare(t: Test): Promise<string> {
  const directory = t.testdir();
  const rig = await startRig(directory);
  const session = await rig.client({ clientId: 'late', clean: false });
  await session.subscribeAsync('plain/#', { qos: 1 });
  await session.endAsync();
  const sender = await rig.client({ clientId: 'sender', protocolVersion: 5 });
  for (const n of [1, 2, 3])
    await sender.publishAsync(`plain/${n}`, `value ${n}`, {
      qos: 1,
      properties: { contentType: `type ${n}` },
    });
  for (const n of [1, 2, 3]) await sender.publishAsync(`kept/${n}`, `value ${n}`, { qos: 1, retain: true });
  await sender.endAsync();
  await rig.stop();
  return directory;
}

t.test('a wrong bit in payload, topic or properties', async (t) => {
  const directory = await prepare(t);
  alter(
    directory,
    `UPDATE mqtt_message SET payload = CAST('walue 1' AS BLOB) WHERE topic = 'plain/1'`,
    `UPDATE mqtt_message SET properties = x'030001' || substr(properties, 4) WHERE topic = 'plain/3'`,
    `UPDATE mqtt_retained SET payload = CAST('falue 2' AS BLOB) WHERE topic = 'kept/2'`,
    `UPDATE mqtt_retained SET topic = 'kept/7' WHERE topic = 'kept/3'`,
  );
  const rig = await startRig(directory);
  t.same(await received(rig, 'late'), ['plain/2 value 2']);
  const reader = await rig.client({ clientId: 'reader' });
  const got: string[] = [];
  const all = new Promise<void>((resolve) => {
    reader.on('message', (topic, payload) => {
      if (topic === 'end') resolve();
      else got.push(`${topic} ${payload}`);
    });
  });
  await reader.subscribeAsync(['kept/#', 'end'], { qos: 1 });
  await reader.publishAsync('end', '', { qos: 1 });
  await all;
  t.same(got, ['kept/1 value 1']);
  const told = rig.log.lines.filter(({ message }) => message.includes('is damaged'));
  t.equal(told.length, 4);
  t.match(told[0], { level: 'error', fields: { kind: 'queued', topic: 'plain/1', bytes: 7 } });
  await rig.stop();
  t.match(aside(directory), [
    { kind: 'queued', topic: 'plain/1' },
    { kind: 'queued', topic: 'plain/3' },
    { kind: 'retained', topic: 'kept/2' },
    { kind: 'retained', topic: 'kept/7' },
  ]);
  const again = await startRig(directory);
  t.same(await received(again, 'late'), [], 'what is set aside does not come back');
  await again.stop();
});

t.test('a damaged will is not spoken', async (t) => {
  const directory = t.testdir();
  const first = await startRig(directory);
  await first.stop();
  alter(
    directory,
    `INSERT INTO mqtt_will (client, topic, payload, qos, retain, crc) VALUES ('gone', 'w', x'00', 1, 0, 12345)`,
  );
  const rig = await startRig(directory);
  const told = rig.log.lines.filter(({ message }) => message.includes('is damaged'));
  t.match(told, [{ fields: { kind: 'will', name: 'gone', topic: 'w' } }]);
  await rig.stop();
  t.match(aside(directory), [{ kind: 'will', name: 'gone' }]);
});

t.test('rows of before, without a checksum, are delivered', async (t) => {
  const directory = await prepare(t);
  alter(directory, 'UPDATE mqtt_message SET crc = NULL', 'UPDATE mqtt_retained SET crc = NULL');
  const rig = await startRig(directory);
  t.same(await received(rig, 'late'), ['plain/1 value 1', 'plain/2 value 2', 'plain/3 value 3']);
  await rig.stop();
});
