/** Encrypted documents: recorded ones are read, ours go there and back, damaged ones are refused at every place. */

import { createSecretKey } from 'node:crypto';
import t from 'tap';
import { unwrapFileKey, wrapFileKey } from '../../../../edge-components/drivers/keys/key-wrap.ts';
import { createCryptoBlock } from '../../../../runtime/building-blocks/crypto/crypto.ts';
import type { EncryptOptions } from '../../../../runtime/contracts/blocks.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import { type BlockRig, blockRig, loaded, refusal, refusing } from '../../../support/block-rig.ts';
import { chunks } from '../../../support/pipeline.ts';

const KEY = createSecretKey(Buffer.from('AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', 'base64'));
const SEGMENT = 64 * 1024;

/** Documents that daprd 1.18 made with the key above, named `aes256.b64`. */
const RECORDED: readonly (readonly [cipher: string, text: string, document: string])[] = [
  [
    'aes-gcm',
    'kept for later',
    'ZGFwci5pby9lbmMvdjEKeyJrIjoiYWVzMjU2LmI2NCIsImt3IjoxLCJ3ZmsiOiJFOS9kN2NaSk1GbS90eC9JRDlpVTY0bjgxc1YyVjFrQ3Z6Ukl1NDJkcFUvRmdMVTk4V1BLWXc9PSIsImNwaCI6MSwibnAiOiIxTkdvRkRUVlFRPT0ifQpPdVcyblB4a3Y1S2gyTEw3Ri9SMTRyWVNVSVZlZE9TbVR2WXZ3Nzd4RWRBPQqZQVM79pQHoMNAMXFjOTV8bfi/7mIpVCd7pMGefmY=',
  ],
  [
    'chacha20-poly1305',
    'kept as well',
    'ZGFwci5pby9lbmMvdjEKeyJrIjoiYWVzMjU2LmI2NCIsImt3IjoxLCJ3ZmsiOiJQdXZTeXJqRVJBdFFnak1FT0N4UjI2THF4dXNlTktYdUJiR1VsZzdtTHNwUmZwNC9VTndJQkE9PSIsImNwaCI6MiwibnAiOiJ0WE0zMHUyYkZRPT0ifQpvV3ZoRVVQVEtCOGpvT0hzSnVFaFZ5bmh0SDRYQ0JOY3c1Tmpxbmo5cUJ3PQqjvjI+hOGbpJ9GxT1J17Lb456SP0RsrTXMZ752',
  ],
];

const provider = loaded('crypto', 'vault', {
  wrapKey: async (fileKey, algorithm, name) => {
    if (name !== 'aes256.b64' && name !== 'aes256.b64/2') throw new Error(`no key ${name}`);
    return wrapFileKey(fileKey, algorithm, KEY);
  },
  unwrapKey: async (wrapped, algorithm, name) => {
    if (name !== 'aes256.b64') throw new Error(`no key ${name}`);
    return unwrapFileKey(wrapped, algorithm, KEY);
  },
});

const options = (more: Partial<EncryptOptions> = {}): EncryptOptions => ({
  keyName: 'aes256.b64',
  keyWrapAlgorithm: 'A256KW',
  dataEncryptionCipher: '',
  omitDecryptionKeyName: false,
  decryptionKeyName: '',
  ...more,
});

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

const rig = (): BlockRig => blockRig([provider]);

async function encrypt(
  plain: AsyncIterable<Uint8Array>,
  more: Partial<EncryptOptions> = {},
): Promise<Buffer> {
  const at = rig();
  return await all(await createCryptoBlock(at).encrypt('vault', options(more), plain, at.call));
}

async function decrypt(
  cipher: AsyncIterable<Uint8Array> | Buffer,
  keyName = '',
  at = rig(),
): Promise<Buffer> {
  const source = Buffer.isBuffer(cipher) ? chunks(cipher) : cipher;
  return await all(await createCryptoBlock(at).decrypt('vault', keyName, source, at.call));
}

/** The same bytes in pieces of `size`. */
function pieces(bytes: Buffer, size: number): AsyncIterable<Uint8Array> {
  const count = Math.ceil(bytes.length / size);
  return chunks(...Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size)));
}

for (const [cipher, text, document] of RECORDED) {
  t.test(`a document that daprd made with ${cipher}`, async (t) => {
    const bytes = Buffer.from(document, 'base64');
    t.equal((await decrypt(bytes)).toString(), text);
    t.equal((await decrypt(pieces(bytes, 1))).toString(), text, 'byte by byte');
  });

  t.test(`every changed byte of it is noticed (${cipher})`, async (t) => {
    const bytes = Buffer.from(document, 'base64');
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      // Only the line of the authentication code may still be read: base64 ignores its spare bits.
      const result = await decrypt(damaged).then(
        (plain) => plain.toString(),
        () => 'refused',
      );
      if (result !== 'refused' && !(result === text && isCodeLine(bytes, at)))
        t.fail(`byte ${at} was changed, the result is ${result}`);
    }
    t.pass('all changes were noticed');
  });

  t.test(`every cut end of it is noticed (${cipher})`, async (t) => {
    const bytes = Buffer.from(document, 'base64');
    const header = bytes.indexOf(10, bytes.indexOf(10, bytes.indexOf(10) + 1) + 1) + 1;
    for (let length = 0; length < bytes.length; length += 1) {
      // A header alone is what daprd makes of nothing.
      if (length === header) continue;
      const result = await refusal(decrypt(bytes.subarray(0, length))).catch(() => undefined);
      if (result === undefined) t.fail(`${length} of ${bytes.length} bytes were taken for the whole`);
    }
    t.ok(await refusal(decrypt(Buffer.concat([bytes, Buffer.of(0)]))), 'and so is something behind it');
  });
}

t.test('a document that daprd made of nothing has no segment', async (t) => {
  const document =
    'ZGFwci5pby9lbmMvdjEKeyJrIjoiYWVzMjU2LmI2NCIsImt3IjoxLCJ3ZmsiOiJmYkdYQ0ZtdTJNY0g0SzRKaHdKMHZnN00zV0xwM20ydkpCUmpQZWxZZ2tlaGl3SVpUbmxIc3c9PSIsImNwaCI6MSwibnAiOiJuMXZadnl1N1hBPT0ifQpORWsrdTNsWVlVczRiR0hRU1FVZjFhRHVRWWd3dkh4NUppc2V2ajZIeWFnPQo=';
  const bytes = Buffer.from(document, 'base64');
  t.equal((await decrypt(bytes)).length, 0);
  t.ok(await refusal(decrypt(bytes.subarray(0, bytes.length - 1))), 'its header is whole');
});

function isCodeLine(bytes: Buffer, at: number): boolean {
  const second = bytes.indexOf(10, bytes.indexOf(10) + 1);
  return at > second && at < bytes.indexOf(10, second + 1);
}

for (const cipher of ['', 'AES-GCM', 'ChaCha20-Poly1305']) {
  t.test(`there and back, cipher '${cipher}'`, async (t) => {
    for (const size of [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT]) {
      const plain = Buffer.alloc(size, 'abc');
      const document = await encrypt(pieces(plain, 10_000), { dataEncryptionCipher: cipher });
      const segments = Math.max(1, Math.ceil(size / SEGMENT));
      const header = document.indexOf(10, document.indexOf(10, document.indexOf(10) + 1) + 1) + 1;
      t.equal(document.length - header, size + 16 * segments, `${size} bytes in ${segments} segments`);
      t.ok((await decrypt(pieces(document, 70_001))).equals(plain), `${size} bytes come back`);
    }
  });
}

t.test('segments cannot be left out, repeated or swapped', async (t) => {
  const document = await encrypt(chunks(Buffer.alloc(3 * SEGMENT, 1)));
  const size = SEGMENT + 16;
  const header = document.subarray(0, document.length - 3 * size);
  const [a, b, c] = [0, 1, 2].map((i) =>
    document.subarray(header.length + i * size, header.length + (i + 1) * size),
  );
  const parts = (...segments: (Buffer | undefined)[]): Buffer =>
    Buffer.concat([header, ...segments.map((s) => s ?? Buffer.alloc(0))]);
  t.equal((await decrypt(parts(a, b, c))).length, 3 * SEGMENT);
  for (const bad of [parts(a, b), parts(a, c), parts(b, a, c), parts(a, b, b), parts(a, b, c, c), parts(c)])
    t.match(await refusal(decrypt(bad)), {
      status: 500,
      message: /^error processing segment \d: failed to decrypt segment$/,
    });
});

t.test('the header names key and algorithm', async (t) => {
  const manifest = async (more: Partial<EncryptOptions>): Promise<Readonly<Record<string, unknown>>> =>
    JSON.parse((await encrypt(chunks('x'), more)).toString('latin1').split('\n')[1] ?? '');
  t.match(await manifest({}), { k: 'aes256.b64', kw: 1, cph: 1 });
  t.match(await manifest({ keyWrapAlgorithm: 'aes', dataEncryptionCipher: 'CHACHA20-poly1305' }), {
    kw: 1,
    cph: 2,
  });
  t.match(await manifest({ decryptionKeyName: 'other' }), { k: 'other' });
  t.notHas(await manifest({ omitDecryptionKeyName: true, decryptionKeyName: 'other' }), { k: 'other' });
  t.match(await manifest({ keyName: 'aes256.b64/2', decryptionKeyName: 'aes256.b64' }), { k: 'aes256.b64' });
});

t.test('which key reads a document: the one given, else the one it names', async (t) => {
  const nameless = await encrypt(chunks('x'), { omitDecryptionKeyName: true });
  t.match(await refusal(decrypt(nameless)), {
    code: 'ERR_CRYPTO',
    message: /does not contain a key name, and no key name was provided/,
  });
  t.equal((await decrypt(nameless, 'aes256.b64')).toString(), 'x');
  const misnamed = await encrypt(chunks('x'), { decryptionKeyName: 'gone' });
  t.match(await refusal(decrypt(misnamed)), {
    code: 'ERR_CRYPTO',
    message: "failed to perform operation: failed to validate the document's signature",
  });
  t.equal((await decrypt(misnamed, 'aes256.b64')).toString(), 'x');
});

t.test('two documents of the same text have nothing in common', async (t) => {
  const [a, b] = [await encrypt(chunks('same')), await encrypt(chunks('same'))];
  t.notOk(a?.equals(b ?? Buffer.alloc(0)));
});

t.test('requests that are refused', async (t) => {
  const at = rig();
  const block = createCryptoBlock(at);
  const refused = (more: Partial<EncryptOptions>, name = 'vault'): ReturnType<typeof refusal> =>
    refusal(block.encrypt(name, options(more), chunks('x'), at.call));
  t.match(await refused({ keyWrapAlgorithm: 'ROT13' }), {
    status: 500,
    code: 'ERR_CRYPTO',
    message: 'failed to perform operation: option Algorithm is not valid: algorithm ROT13 is not supported',
  });
  t.match(await refused({ keyWrapAlgorithm: 'A256CBC-NOPAD' }), {
    code: 'ERR_CRYPTO',
    message: /not supported/,
  });
  t.match(await refused({ dataEncryptionCipher: 'des' }), {
    code: 'ERR_CRYPTO',
    message: 'failed to perform operation: option Cipher is not valid: cipher DES is not supported',
  });
  t.match(await refused({ keyName: 'nope' }), {
    message: 'failed to perform operation: failed to wrap the file key: no key nope',
  });
  t.match(await refused({ keyWrapAlgorithm: 'RSA-OAEP-256' }), { message: /key type mismatch/ });
  t.match(await refused({}, 'nope'), { status: 400, code: 'ERR_CRYPTO_PROVIDER_NOT_FOUND' });
  t.match(await refusal(decrypt(Buffer.from('x'), '', blockRig([]))), {
    status: 500,
    code: 'ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED',
  });
});

t.test('headers that are none', async (t) => {
  const message = async (text: string, keyName = ''): Promise<string> =>
    (await refusal(decrypt(Buffer.from(text), keyName))).message;
  const start = 'failed to perform operation: invalid header: ';
  t.equal(await message('nonsense'), `${start}scheme name not found`);
  t.equal(await message(''), `${start}scheme name not found`);
  t.equal(await message('dapr.io/enc/v2\n{}\nAAAA\n'), `${start}unsupported scheme`);
  t.equal(await message('dapr.io/enc/v1\n'), `${start}manifest not found`);
  t.equal(await message('dapr.io/enc/v1\n{}\n', 'k'), `${start}message authentication code not found`);
  t.equal(await message('dapr.io/enc/v1\n{\nAAAA\n'), `${start}manifest is not valid JSON`);
  for (const bad of [
    '{}',
    'null',
    '5',
    '{"kw":9,"wfk":"AA==","cph":1,"np":"AAAAAAAAAA=="}',
    '{"kw":1,"wfk":"AA==","cph":3,"np":"AAAAAAAAAA=="}',
    '{"kw":1,"wfk":"","cph":1,"np":"AAAAAAAAAA=="}',
    '{"kw":1,"wfk":"AA==","cph":1,"np":"AA=="}',
  ])
    t.match(await message(`dapr.io/enc/v1\n${bad}\nAAAA\n`), /invalid header: manifest/, bad);
  t.match(await message(`dapr.io/enc/v1\n${' '.repeat(200_000)}`), /manifest not found/, 'lines are bounded');
});

t.test('an error of the bytes stays what it is', async (t) => {
  const tooLarge = async function* (): AsyncIterable<Uint8Array> {
    yield Buffer.from('dapr.io/enc/v1\n');
    throw runtimeError('overloaded', { what: 'the body' });
  };
  t.match(await refusal(decrypt(tooLarge())), { key: 'overloaded' });
});

t.test('the policy stands before the provider, and calls are counted', async (t) => {
  const at = blockRig([provider], refusing(new Error('circuit breaker is open')));
  const block = createCryptoBlock(at);
  t.match(await refusal(block.encrypt('vault', options(), chunks('x'), at.call)), {
    message: /breaker is open/,
  });
  t.strictSame(at.counted, ['component_crypto_count vault crypto_op false']);
});
