import t from 'tap';
import {
  addMetadata,
  decodeBinaryValue,
  encodeBinaryValue,
  metadataFromRawHeaders,
  metadataFromRequest,
  metadataValue,
  metadataValues,
} from '../../../../runtime/contracts/grpc-wire/metadata.ts';

t.test('received fields keep their order and repetitions, reserved ones stay out', async (t) => {
  const raw = [
    ':status',
    '200',
    'content-type',
    'application/grpc',
    'X-A',
    '1',
    'x-a',
    '2',
    'grpc-status',
    '0',
    'k-bin',
    'AQI',
  ];
  t.same(metadataFromRawHeaders(raw), [
    ['x-a', '1'],
    ['x-a', '2'],
    ['k-bin', 'AQI'],
  ]);
});

t.test('a request shows authority, content type and user agent, but no timeout', async (t) => {
  const raw = [
    ':method',
    'POST',
    ':authority',
    'h:1',
    ':path',
    '/a/b',
    'content-type',
    'application/grpc',
    'grpc-timeout',
    '1S',
    'user-agent',
    'u',
  ];
  t.same(metadataFromRequest(raw), [
    [':authority', 'h:1'],
    ['content-type', 'application/grpc'],
    ['user-agent', 'u'],
  ]);
});

t.test('what HTTP/2 cannot carry is not sent', async (t) => {
  const fields: Record<string, string | string[]> = { te: 'trailers' };
  addMetadata(fields, [
    ['X-A', '1'],
    ['x-a', '2'],
    [':path', '/evil'],
    ['connection', 'close'],
    ['content-length', '5'],
    ['bad name', 'x'],
    ['', 'x'],
    ['x-text', 'zwölf\r\nx: y'],
    ['metadata.Key', 'v'],
  ]);
  t.same(fields, { te: 'trailers', 'x-a': ['1', '2'], 'x-text': 'zw?lf??x: y', 'metadata.key': 'v' });
});

t.test('values are found without regard to case', async (t) => {
  const list = [
    ['A-B', '1'],
    ['a-b', '2'],
  ] as const;
  t.equal(metadataValue(list, 'a-b'), '2', 'an exact name first');
  t.equal(metadataValue([['A-B', '1']], 'a-b'), '1');
  t.same(metadataValues(list, 'a-b'), ['1', '2']);
  t.equal(metadataValue(list, 'c'), undefined);
});

t.test('binary values are base64 without padding; padding is understood', async (t) => {
  for (const [hex, text] of [
    ['', ''],
    ['00', 'AA'],
    ['0001', 'AAE'],
    ['000102', 'AAEC'],
    ['fbff', '+/8'],
  ] as const) {
    t.equal(encodeBinaryValue(Buffer.from(hex, 'hex')), text);
    t.equal(Buffer.from(decodeBinaryValue(text)).toString('hex'), hex);
  }
  t.equal(Buffer.from(decodeBinaryValue('AA==')).toString('hex'), '00');
});
