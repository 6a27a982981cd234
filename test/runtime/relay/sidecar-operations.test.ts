import t from 'tap';
import { askedOf } from '../../../runtime/relay/sidecar-operations.ts';

const shown = (method: string, path: string): string => {
  const asked = askedOf(method, path);
  return asked === undefined ? 'nothing' : `${asked.operation} ${asked.name} ${asked.path}`;
};

t.test('what components ask for', async (t) => {
  for (const [method, path, expected] of [
    ['GET', '/v1.0/healthz/outbound', 'health  /v1.0/healthz/outbound'],
    [
      'GET',
      '/v1.0/state/store/a%2Fb?consistency=strong',
      'state store /v1.0/state/store/a%2Fb?consistency=strong',
    ],
    ['DELETE', '/v1.0/state/store/a', 'state store /v1.0/state/store/a'],
    ['POST', '/v1.0/state/store', 'state store /v1.0/state/store'],
    ['POST', '/v1.0/state/store/transaction', 'state store /v1.0/state/store/transaction'],
    ['POST', '/v1.0/publish/orders/a/b', 'publish orders /v1.0/publish/orders/a/b'],
    ['POST', '/v1.0-alpha1/publish/bulk/orders/a/b', 'publish orders /v1.0-alpha1/publish/bulk/orders/a/b'],
    ['POST', '/v1.0/bindings/lamp', 'bindings lamp /v1.0/bindings/lamp'],
    ['GET', '/v1.0/configuration/conf?key=a', 'configuration conf /v1.0/configuration/conf?key=a'],
    ['GET', '/v1.0/secrets/vault/bulk', 'secrets vault /v1.0/secrets/vault/bulk'],
    ['POST', '/v1.0-alpha1/unlock/locks', 'lock locks /v1.0-alpha1/unlock/locks'],
    ['PATCH', '/v1.0/invoke/billing/method/pay/all', 'invoke billing /v1.0/invoke/billing/method/pay/all'],
  ] as const)
    t.equal(shown(method, path), expected);
});

t.test('what nobody may ask for, however it is written', async (t) => {
  for (const [method, path] of [
    ['GET', '/v1.0/metadata'],
    ['POST', '/v1.0/shutdown'],
    ['GET', '/v1.0/actors/a/b/state/c'],
    ['POST', '/v1.0-beta1/workflows/dapr/x/start'],
    ['GET', '/v1.0/configuration/conf/subscribe'],
    ['GET', '/v1.0/state/store/../../metadata'],
    ['GET', '/v1.0/state/store/%2e%2e%2f%2e%2e%2fmetadata'],
    ['GET', '/v1.0/state/store/..%5c..'],
    ['GET', '/v1.0/state/..%2Fmetadata'],
    ['GET', '/v1.0/state/a%2Fb/key'],
    ['GET', '/v1.0//state/store/a'],
    ['GET', '//v1.0/state/store/a'],
    ['GET', '/v1.0/state/store/a/'],
    ['GET', '/v1.0/state/store/%'],
    ['GET', '/v1.0/state/store/a%00'],
    ['GET', '/v2.0/state/store/a'],
    ['GET', 'v1.0/state/store/a'],
    ['GET', 'http://other/v1.0/state/store/a'],
    ['PATCH', '/v1.0/state/store'],
    ['GET', '/v1.0/bindings/lamp'],
    ['GET', '/v1.0/publish/orders/a'],
    ['POST', '/v1.0/publish/bulk/orders'],
    ['POST', '/v1.0/invoke/billing/pay/method'],
    ['POST', '/v1.0/healthz'],
    ['GET', '/v1.0/healthz?x=1'],
    ['GET', '/v1.0/constructor/x/y'],
    ['GET', `/v1.0/state/store/${'a'.repeat(9000)}`],
  ] as const)
    t.equal(shown(method, path), 'nothing', `${method} ${path.slice(0, 60)}`);
});
