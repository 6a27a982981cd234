import t from 'tap';
import {
  createFrameReader,
  encodeFrame,
  frameHeader,
} from '../../../../runtime/contracts/grpc-wire/frame.ts';
import { GrpcStatusError } from '../../../../runtime/contracts/grpc-wire/status.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

t.test('a frame is a flag, a length and the message', async (t) => {
  t.same(Buffer.from(encodeFrame(Buffer.from('abc'))).toString('hex'), '0000000003616263');
  t.same(Buffer.from(frameHeader(0x01020304, true)).toString('hex'), '0101020304');
});

t.test('messages come out of bytes that are cut anywhere', async (t) => {
  const random = seededRandom(7);
  for (let round = 0; round < 200; round += 1) {
    const messages = Array.from({ length: 1 + Math.floor(random.float() * 6) }, () =>
      random.bytes(Math.floor(random.float() ** 3 * 400)),
    );
    const bytes = Buffer.concat(messages.map((message) => encodeFrame(message)));
    const reader = createFrameReader(1000);
    const got: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + Math.floor(random.float() * 40);
      reader.push(Uint8Array.from(bytes.subarray(at, at + size)));
      at += size;
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) got.push(frame.message);
    }
    t.same(
      got.map((message) => Buffer.from(message).toString('hex')),
      messages.map((m) => Buffer.from(m).toString('hex')),
    );
    t.equal(reader.pendingBytes, 0);
  }
});

t.test('random bytes never do worse than an error with a status', async (t) => {
  const random = seededRandom(11);
  for (let round = 0; round < 300; round += 1) {
    const reader = createFrameReader(64);
    try {
      reader.push(random.bytes(Math.floor(random.float() * 64)));
      while (reader.next() !== undefined);
    } catch (error) {
      t.ok(error instanceof GrpcStatusError, 'an error with a status');
    }
  }
});

t.test('a message above the limit is refused by its prefix alone', async (t) => {
  const reader = createFrameReader(10);
  reader.push(frameHeader(11));
  t.throws(() => reader.next(), { code: 8, message: 'grpc: received message larger than max (11 vs. 10)' });
});

t.test('a length of four gigabytes allocates nothing', async (t) => {
  const reader = createFrameReader(4 * 1024 * 1024);
  reader.push(Uint8Array.from([0, 0xff, 0xff, 0xff, 0xff]));
  t.throws(() => reader.next(), {
    code: 8,
    message: 'grpc: received message larger than max (4294967295 vs. 4194304)',
  });
});

t.test('an unknown flag is an internal error', async (t) => {
  const reader = createFrameReader(10);
  reader.push(Uint8Array.from([2, 0, 0, 0, 0]));
  t.throws(() => reader.next(), { code: 13 });
});

t.test('a cut message shows in the pending bytes', async (t) => {
  const reader = createFrameReader(10);
  reader.push(Uint8Array.from([0, 0, 0, 0, 3, 1]));
  t.equal(reader.next(), undefined);
  t.equal(reader.pendingBytes, 6);
});
