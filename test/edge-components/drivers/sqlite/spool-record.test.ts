/** Queued messages as rows: short ones, those of earlier versions, damaged ones. */

import t from 'tap';
import { encodeRecord } from '../../../../edge-components/drivers/cbor/record.ts';
import {
  acceptedAtOf,
  contentOf,
  idOf,
  recordOf,
  storedRecord,
} from '../../../../edge-components/drivers/sqlite/spool-record.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const ID = '01a20e61-96ce-7000-be9e-dd0922ffc369';
const TIME = 0x01a20e6196ce;
const payload = Buffer.from('{"temperature":21.5}');
const row = (id: string, time: number, headers: Record<string, string>, body: Uint8Array = payload) => {
  const stored = storedRecord(id, time, { headers, payload: body });
  return { id: stored.id, accepted_at: stored.acceptedAt, record: stored.record, crc: stored.crc };
};

t.test('what went in comes out', async (t) => {
  const long = 'ä'.repeat(40_000);
  const cases: Record<string, string>[] = [
    {},
    { operation: 'create', contentType: 'application/json' },
    { operation: 'exec', 'm.own': '', 'm.längst': long },
    Object.fromEntries(Array.from({ length: 255 }, (_, n) => [`m.${n}`, `${n}`])),
    Object.fromEntries(Array.from({ length: 256 }, (_, n) => [`m.${n}`, `${n}`])),
  ];
  for (const headers of cases) {
    for (const body of [payload, new Uint8Array(0)]) {
      const stored = row(ID, TIME, headers, body);
      const back = recordOf(stored);
      t.same(back.headers, headers);
      t.ok(Buffer.from(back.payload).equals(body));
      t.equal(idOf(stored), ID);
      t.equal(acceptedAtOf(stored), TIME);
      t.equal(idOf({ ...stored, record: null, head: stored.record.slice(0, 16) }), ID);
    }
  }
});

t.test('the usual message costs 21 bytes and its checksum, its id and time included', async (t) => {
  const stored = row(ID, TIME, { operation: 'create', contentType: 'application/json' });
  t.same([stored.id, stored.accepted_at], ['', 0]);
  t.equal(stored.record.byteLength, payload.byteLength + 21);
  t.equal(stored.record.buffer.byteLength, stored.record.byteLength, 'memory of its own');
});

t.test('another time than that of the id, and ids that are none, are kept as they are', async (t) => {
  const moved = row(ID, TIME + 5, {});
  t.equal(acceptedAtOf(moved), TIME + 5);
  for (const id of ['id-1', ID.toUpperCase(), ID.replaceAll('-', '')]) {
    const odd = row(id, 7, { a: 'b' });
    t.equal(idOf(odd), id);
    t.equal(acceptedAtOf(odd), 7);
    t.same(recordOf(odd).headers, { a: 'b' });
  }
});

t.test('rows of earlier versions are read, with or without a checksum', async (t) => {
  const record = encodeRecord({ headers: { topic: 'a' }, payload });
  const old = { id: ID, accepted_at: 1, record, crc: null };
  t.same(recordOf(old).headers, { topic: 'a' });
  // Written unsigned until this version.
  const unsigned = 0xf0000000;
  t.throws(() => recordOf({ ...old, crc: unsigned }), /checksum/);
});

t.test('every wrong bit is noticed, and nothing is read beyond the record', async (t) => {
  const stored = row(ID, TIME, { operation: 'create', 'm.a': 'b' });
  for (let bit = 0; bit < stored.record.byteLength * 8; bit += 1) {
    const record = Uint8Array.from(stored.record);
    record[bit >> 3] = (record[bit >> 3] as number) ^ (1 << (bit & 7));
    t.throws(() => recordOf({ ...stored, record }), /checksum/);
  }
  const random = seededRandom(5);
  for (let round = 0; round < 2000; round += 1) {
    const record = Uint8Array.from(stored.record.subarray(0, Math.floor(random.float() * 60)));
    for (let at = 16; at < record.length; at += 1)
      if (random.float() < 0.3) record[at] = random.float() * 256;
    try {
      contentOf({ ...stored, record });
    } catch (error) {
      t.type(error, Error);
    }
  }
});
