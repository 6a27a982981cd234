/**
 * THE table of built-in components: `type/version` to a lazy import. Adding a component is one folder and one row; an
 * alias is a second key to the same module. A component that no resource names is never evaluated.
 */

import type { Catalog } from '../runtime/contracts/component.ts';

const stateSqlite: Catalog[string] = () => import('./state/sqlite/component.ts');
const pubsubMqtt3: Catalog[string] = () => import('./pubsub/mqtt3/component.ts');
const bindingsMqtt3: Catalog[string] = () => import('./bindings/mqtt3/component.ts');

export const catalog: Catalog = {
  'state.dapr/v1': () => import('./state/dapr/component.ts'),
  'state.in-memory/v1': () => import('./state/in-memory/component.ts'),
  'state.sqlite/v1': stateSqlite,
  'state.sqlite3/v1': stateSqlite,

  'pubsub.dapr/v1': () => import('./pubsub/dapr/component.ts'),
  'pubsub.in-memory/v1': () => import('./pubsub/in-memory/component.ts'),
  'pubsub.mqtt3/v1': pubsubMqtt3,
  'pubsub.mqtt/v1': pubsubMqtt3,

  'bindings.cron/v1': () => import('./bindings/cron/component.ts'),
  'bindings.dapr/v1': () => import('./bindings/dapr/component.ts'),
  'bindings.http/v1': () => import('./bindings/http/component.ts'),
  'bindings.localstorage/v1': () => import('./bindings/localstorage/component.ts'),
  'bindings.mqtt3/v1': bindingsMqtt3,
  'bindings.mqtt/v1': bindingsMqtt3,

  'secretstores.dapr/v1': () => import('./secretstores/dapr/component.ts'),
  'secretstores.local.env/v1': () => import('./secretstores/local-env/component.ts'),
  'secretstores.local.file/v1': () => import('./secretstores/local-file/component.ts'),

  'configuration.dapr/v1': () => import('./configuration/dapr/component.ts'),
  'configuration.in-memory/v1': () => import('./configuration/in-memory/component.ts'),
  'configuration.sqlite/v1': () => import('./configuration/sqlite/component.ts'),

  'lock.dapr/v1': () => import('./lock/dapr/component.ts'),
  'lock.in-memory/v1': () => import('./lock/in-memory/component.ts'),
  'lock.sqlite/v1': () => import('./lock/sqlite/component.ts'),

  'crypto.dapr.jwks/v1': () => import('./crypto/jwks/component.ts'),
  'crypto.dapr.localstorage/v1': () => import('./crypto/localstorage/component.ts'),

  'conversation.echo/v1': () => import('./conversation/echo/component.ts'),

  'middleware.http.bearer/v1': () => import('./middleware/bearer/component.ts'),
  'middleware.http.ratelimit/v1': () => import('./middleware/ratelimit/component.ts'),
  'middleware.http.routeralias/v1': () => import('./middleware/routeralias/component.ts'),
  'middleware.http.routerchecker/v1': () => import('./middleware/routerchecker/component.ts'),
  'middleware.http.uppercase/v1': () => import('./middleware/uppercase/component.ts'),

  'nameresolution.kubernetes/v1': () => import('./nameresolution/kubernetes/component.ts'),
  'nameresolution.mdns/v1': () => import('./nameresolution/mdns/component.ts'),
  'nameresolution.sqlite/v1': () => import('./nameresolution/sqlite/component.ts'),
};
