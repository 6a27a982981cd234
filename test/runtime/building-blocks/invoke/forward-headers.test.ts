import t from 'tap';
import {
  httpRequestHeaders,
  peerRequestHeaders,
  responseHeaders,
} from '../../../../runtime/building-blocks/invoke/forward-headers.ts';
import { createPeerHeaders } from '../../../../runtime/building-blocks/invoke/identity-headers.ts';

t.test('headers of the connection stay behind, names keep their case and order', async (t) => {
  const given = [
    ['Host', 'h'],
    ['X-Mine', '1'],
    ['Connection', 'close, X-Drop'],
    ['x-drop', '1'],
    ['x-mine', '2'],
    ['TE', 'trailers'],
    ['Upgrade', 'h2c'],
    ['Proxy-Authorization', 'x'],
    ['Authorization', 'Bearer a'],
    ['Content-Length', '3'],
  ] as const;
  t.same(httpRequestHeaders(given), [
    ['X-Mine', '1', 'x-mine'],
    ['x-mine', '2', 'x-mine'],
    ['Authorization', 'Bearer a', 'authorization'],
  ]);
});

t.test('binary and reserved gRPC metadata do not reach an HTTP app as they are', async (t) => {
  const given = [
    ['trace-bin', 'AA'],
    ['grpc-timeout', '1S'],
    [':path', '/'],
    ['destination-app-id', 'x'],
    ['dapr-app-id', 'x'],
  ] as const;
  t.same(httpRequestHeaders(given), [['dapr-grpc-timeout', '1S', 'dapr-grpc-timeout']]);
});

t.test('a tracestate needs a traceparent beside it', async (t) => {
  const state = ['Tracestate', 'a=1'] as const;
  t.same(httpRequestHeaders([state, ['x', '1']]), [['x', '1', 'x']]);
  t.equal(httpRequestHeaders([state, ['traceparent', 'malformed']]).length, 2);
});

t.test('an answer loses hop-by-hop headers and its framing', async (t) => {
  const given = [
    ['Keep-Alive', 'timeout=9'],
    ['Set-Cookie', 'a=1'],
    ['Set-Cookie', 'b=2'],
    ['Content-Type', 'x'],
    ['Transfer-Encoding', 'chunked'],
  ] as const;
  t.same(responseHeaders(given), [
    ['Set-Cookie', 'a=1'],
    ['Set-Cookie', 'b=2'],
  ]);
});

t.test('identity cannot be chosen by the caller, forwarding headers go behind its own', async (t) => {
  const headers = createPeerHeaders({
    appId: 'me',
    namespace: 'ns',
    hostAddress: '10.1.1.1',
    hostName: 'box',
  });
  const given = [
    ['Dapr-Caller-App-Id', 'fake'],
    ['dapr-callee-app-id', 'fake'],
    ['DAPR-CALLER-NAMESPACE', 'fake'],
    ['X-Forwarded-For', '1.1.1.1'],
  ] as const;
  t.same(headers(given, 'you'), [
    ['X-Forwarded-For', '1.1.1.1'],
    ['X-Forwarded-For', '10.1.1.1'],
    ['X-Forwarded-Host', 'box'],
    ['Forwarded', 'for=10.1.1.1;by=10.1.1.1;host=box'],
    ['dapr-caller-app-id', 'me'],
    ['dapr-caller-namespace', 'ns'],
    ['dapr-callee-app-id', 'you'],
  ]);
  t.same(peerRequestHeaders([['dapr-other', 'kept']]), [['dapr-other', 'kept']]);
});

t.test('IPv6 hosts are quoted in Forwarded', async (t) => {
  const headers = createPeerHeaders({ appId: 'me', namespace: 'ns', hostAddress: 'fd00::2', hostName: '' });
  t.match(headers([], 'you'), [
    ['X-Forwarded-For', 'fd00::2'],
    ['Forwarded', 'for="[fd00::2]";by="[fd00::2]"'],
  ]);
});
