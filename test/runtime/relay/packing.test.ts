import { zstdCompressSync } from 'node:zlib';
import t from 'tap';
import { createPacker, createUnpacker, packAlone, UnknownBaseError } from '../../../runtime/relay/packing.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const random = seededRandom(5);
const LIMIT = 1024 * 1024;
const reading = (n: number): Buffer =>
  Buffer.from(
    JSON.stringify({
      deviceId: `sensor-${n % 7}`,
      sequence: n,
      celsius: random.float(),
      humidity: random.float(),
    }),
  );

t.test('what was packed comes out the same, and the smaller the more went before', async (t) => {
  const packer = createPacker();
  const unpacker = createUnpacker();
  const sizes: number[] = [];
  for (let n = 0; n < 200; n += 1) {
    const message = n % 50 === 49 ? Buffer.from(random.bytes(100_000)) : reading(n);
    const packed = await packer.pack(message, `route ${n % 3}`);
    t.ok(Buffer.from(await unpacker.unpack(packed.bytes, LIMIT)).equals(message));
    packed.settle(true);
    if (n % 50 !== 49) sizes.push(packed.bytes.byteLength);
  }
  t.ok((sizes.at(-1) ?? 0) < (sizes[0] ?? 0) * 0.75, `${sizes[0]} bytes at first, ${sizes.at(-1)} at last`);
  t.ok(unpacker.held <= 4 * 8 * 1024, `${unpacker.held} bytes are held`);
  unpacker.release();
  t.equal(unpacker.held, 0);
});

t.test('messages of parallel calls arrive in any order', async (t) => {
  const packer = createPacker();
  const unpacker = createUnpacker();
  const first = await packer.pack(reading(1), 'r');
  await unpacker.unpack(first.bytes, LIMIT);
  first.settle(true);
  const messages = Array.from({ length: 10 }, (_, n) => reading(n));
  const packed = await Promise.all(messages.map((message) => packer.pack(message, 'r')));
  for (const [at, { bytes, settle }] of [...packed.entries()].reverse()) {
    t.ok(Buffer.from(await unpacker.unpack(bytes, LIMIT)).equals(messages[at] as Buffer));
    settle(true);
  }
});

t.test('nothing builds on what did not arrive', async (t) => {
  const packer = createPacker();
  const unpacker = createUnpacker();
  (await packer.pack(reading(1), 'r')).settle(false);
  const next = await packer.pack(reading(2), 'r');
  t.ok(await unpacker.unpack(next.bytes, LIMIT));
});

t.test('a receiver that has forgotten says so, and takes the message alone', async (t) => {
  const packer = createPacker();
  const unpacker = createUnpacker();
  const first = await packer.pack(reading(1), 'r');
  await unpacker.unpack(first.bytes, LIMIT);
  first.settle(true);
  unpacker.release();
  const message = reading(2);
  const next = await packer.pack(message, 'r');
  await t.rejects(unpacker.unpack(next.bytes, LIMIT), UnknownBaseError);
  next.settle(false);
  const alone = await packer.pack(message, 'r', true);
  t.ok(Buffer.from(await unpacker.unpack(alone.bytes, LIMIT)).equals(message));
});

t.test('a receiver without room keeps nothing', async (t) => {
  const unpacker = createUnpacker(() => false);
  const packer = createPacker();
  await unpacker.unpack((await packer.pack(reading(1), 'r')).bytes, LIMIT);
  t.equal(unpacker.held, 0);
});

t.test('bombs, noise and windows too wide are refused', async (t) => {
  const unpacker = createUnpacker();
  const bomb = await packAlone(Buffer.alloc(64 * LIMIT));
  t.ok(bomb.byteLength < 8192, `${bomb.byteLength} bytes would make 64 MiB`);
  await t.rejects(unpacker.unpack(bomb, LIMIT));
  await t.rejects(
    unpacker.unpack(Buffer.concat([Buffer.from([0]), Buffer.alloc(LIMIT + 1)]), LIMIT),
    /larger/,
  );
  const head = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 1]);
  for (let n = 0; n < 300; n += 1) {
    const noise = Buffer.from(random.bytes(n));
    await t.rejects(unpacker.unpack(Buffer.concat([head, noise]), LIMIT), `noise of ${n} bytes`);
    if (n > 0 && (noise[0] ?? 0) > 1) await t.rejects(unpacker.unpack(noise, LIMIT));
  }
  // A frame that asks for a window of 128 MiB (RFC 8878, section 3.1.1.1.2).
  const wide = Buffer.concat([head, Buffer.from('28b52ffd', 'hex'), Buffer.from([0x00, 17 << 3, 1, 0, 0])]);
  await t.rejects(unpacker.unpack(wide, LIMIT));
  await t.rejects(unpacker.unpack(zstdCompressSync('x').subarray(0, 5), LIMIT));
  t.equal(unpacker.held, 0);
});
