import { connect } from 'node:net';
import t from 'tap';
import { fakeBlocks, serve } from '../fake-api.ts';

t.test('an event stream behind a daprd, told of with a gRPC code, is not waited for', async (t) => {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const { server } = await serve(
    t,
    fakeBlocks({
      invoke: {
        invoke: async () => ({
          status: 0,
          grpc: true,
          headers: [],
          contentType: 'text/event-stream',
          body: {
            stream: async function* () {
              yield Buffer.from('data: 1');
              await ended;
            },
          },
        }),
      },
    }),
  );
  const socket = connect(server.port, '127.0.0.1');
  socket.write('GET /v1.0/invoke/app/method/x HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n');
  let text = '';
  for await (const part of socket) {
    text += String(part);
    if (text.includes('data: 1')) break;
  }
  end();
  t.match(text, /^HTTP\/1\.1 200 /);
  t.match(text, /content-type: text\/event-stream/i);
  t.match(text, /cache-control: no-cache/i);
});
