import t from 'tap';
import { requestErrorText, transportErrorText } from '../../../runtime/http-client/error-text.ts';

const failure = (code: string, extra: object = {}) =>
  Object.assign(new Error(`node's own text for ${code}`), { code, ...extra });

t.test('failures read as Dapr users know them', async (t) => {
  t.equal(
    requestErrorText('DELETE', 'http://h:1/x', failure('ECONNREFUSED'), 'h:1'),
    'Delete "http://h:1/x": dial tcp h:1: connect: connection refused',
  );
  t.equal(requestErrorText('GET', 'http://h:1/x', failure('ECONNRESET'), 'h:1'), 'Get "http://h:1/x": EOF');
  t.equal(
    transportErrorText(failure('ENOTFOUND', { hostname: 'nowhere' }), 'nowhere:80'),
    'dial tcp: lookup nowhere: no such host',
  );
  t.equal(
    transportErrorText(new AggregateError([failure('ECONNREFUSED')]), 'h:1'),
    'dial tcp h:1: connect: connection refused',
  );
  t.equal(transportErrorText(new Error('stream too large'), 'h:1'), 'stream too large');
});
