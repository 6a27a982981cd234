// Ports of a node that starts its app: asked for, well-known, or the next free one.

import { createServer } from 'node:net';
import t from 'tap';
import { freePortFrom } from '../../../runtime/cli/free-port.ts';
import { withFreePorts } from '../../../runtime/cli/node-defaults.ts';
import { parseFlags } from '../../../runtime/flags.ts';

t.test('the next port where the first one is asked for or in use', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const taken = new Set([port + 1]);
  const found = await freePortFrom(port, taken);
  t.ok(found >= port + 2, String(found));
  t.ok(taken.has(found), 'it is not given away twice');
});

t.test('a port that was asked for is not given to another', async (t) => {
  const flags = parseFlags(['--app-id', 'a', '--dapr-grpc-port', '3500', '--mqtt-port', '0', '--', 'node']);
  const { values, rest } = await withFreePorts(flags);
  t.same(values.get('dapr-grpc-port'), ['3500']);
  t.not(values.get('dapr-http-port')?.[0], '3500');
  t.ok(Number(values.get('dapr-http-port')?.[0]) > 3500);
  t.same(values.get('mqtt-port'), ['0'], 'as given');
  t.same(rest, ['node']);
});
