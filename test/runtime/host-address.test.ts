import t from 'tap';
import { hostAddress, stablePort } from '../../runtime/host-address.ts';

t.test('the environment decides, then a loopback listen address', async (t) => {
  t.equal(await hostAddress({ DAPR_HOST_IP: '10.1.2.3' }, ''), '10.1.2.3');
  t.equal(await hostAddress({}, '127.0.0.1'), '127.0.0.1');
  t.match(await hostAddress({}, ''), /^[0-9a-f.:]+$/);
});

t.test('the stable port depends on app, folder and host only', (t) => {
  t.equal(stablePort('a', '/x', 'h'), stablePort('a', '/x', 'h'));
  t.not(stablePort('a', '/x', 'h'), stablePort('b', '/x', 'h'));
  const port = stablePort('a', '/x', 'h');
  t.ok(port >= 47_300 && port < 65_535);
  t.end();
});
