/** Connections of one client id that overtake one another between CONNECT and CONNACK, and clients that leave there. */

import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { seededRandom } from '../../support/seeded-random.ts';
import { startRig } from './broker-rig.ts';

/** CONNECT of MQTT 5 with a session that lasts for `expiry` seconds. */
function connect(id: string, clean: boolean, expiry: number, will: boolean): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)]);
  const lasts = Buffer.alloc(5, 0x11);
  lasts.writeUInt32BE(expiry, 1);
  const body = Buffer.concat([
    text('MQTT'),
    Buffer.from([5, (clean ? 2 : 0) | (will ? 4 : 0), 0, 0, lasts.length]),
    lasts,
    text(id),
    ...(will ? [Buffer.from([0]), text('will'), text('spoken')] : []),
  ]);
  return Buffer.concat([Buffer.from([0x10, body.length]), body]);
}

t.test('one session comes out of it, and the disk agrees', async (t) => {
  const directory = t.testdir();
  const rig = await startRig(directory);
  const random = seededRandom(11);
  const talk = (id: string): Promise<void> =>
    new Promise((resolve) => {
      const socket = connectSocket(rig.port, '127.0.0.1', () => {
        socket.write(connect(id, random.float() < 0.6, random.float() < 0.8 ? 600 : 0, random.float() < 0.3));
        const turns = Math.floor(random.float() * 12);
        const leave = (left: number): void => {
          if (left === 0) socket.destroy();
          else setImmediate(() => leave(left - 1));
        };
        if (random.float() < 0.5) leave(turns);
        else socket.once('data', () => socket.end());
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve());
      socket.resume();
    });
  for (let round = 0; round < 60; round += 1) {
    await Promise.all(Array.from({ length: 12 }, (_, n) => talk(`storm-${n % 3}`)));
  }
  for (let n = 0; n < 3; n += 1) {
    const client = await rig.client({ clientId: `storm-${n}`, protocolVersion: 5, clean: false });
    await client.subscribeAsync('a', { qos: 1 });
    await client.endAsync();
  }
  const faults = rig.log.lines.filter(({ level }) => level === 'error' || level === 'fatal');
  t.same(faults, []);
  await rig.stop();
  const file = new Database(join(directory, 'node.db'), { readonly: true });
  const wills = file.prepare('SELECT count(*) FROM mqtt_will').pluck().get();
  t.equal(wills, 0, 'no will is left of connections that are gone');
  file.close();
});
