import t from 'tap';
import { sendingInterfaces } from '../../../../edge-components/drivers/mdns/multicast-socket.ts';

const address = (family: string, text: string, internal = false) =>
  ({ family, address: text, internal }) as never;

t.test('packets go out on every interface that leads out, or over loopback', async (t) => {
  const lo = [address('IPv4', '127.0.0.1', true)];
  t.same(sendingInterfaces({ lo }), ['127.0.0.1']);
  t.same(sendingInterfaces({}), ['127.0.0.1']);
  t.same(
    sendingInterfaces({
      lo,
      eth0: [address('IPv6', 'fe80::1'), address('IPv4', '10.0.0.1'), address('IPv4', '10.0.0.2')],
      wlan0: [address('IPv4', '192.168.0.1')],
      tun0: [address('IPv6', 'fe80::2')],
    }),
    ['10.0.0.1', '192.168.0.1'],
  );
});
