/** HTTP middleware: any metadata items make a component or faults that name the item; any request passes or is answered. */

import { catalog } from '../../../edge-components/catalog.ts';
import type { HttpMiddleware } from '../../../runtime/contracts/http-middleware.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { chunks, throughMiddleware } from '../../support/pipeline.ts';
import type { Draw } from '../support/draw.ts';
import { ensureForeseen } from '../support/foreseen.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const KEYS = Object.keys(catalog).filter((key) => key.startsWith('middleware.') && !/bearer/.test(key));

const ITEMS: readonly (readonly [string, (draw: Draw) => string])[] = [
  ['maxRequestsPerSecond', (draw) => draw.pick(['10', '.5', '-1', '1e9', '', draw.text(20)])],
  ['rule', (draw) => draw.pick(['^[a-z/]+$', '^(a+)+$', '[', '(?i)x{2,900}', '\\pL', draw.text(60)])],
  ['routes', (draw) => draw.pick(['{"/a":"/b"}', '{"/x/:id":"/y?z={id}"}', draw.jsonText(), draw.text(200)])],
];

interface Definition {
  readonly metadata: Parameters<typeof decodeMetadata>[0];
  create(
    metadata: unknown,
    deps: ReturnType<typeof componentDeps>,
  ): HttpMiddleware & { init?(signal: AbortSignal): Promise<void> };
}

async function open(): Promise<Fuzzing> {
  const definitions = await Promise.all(
    KEYS.map(async (key) => {
      const loaded = (await catalog[key]?.()) as unknown as { readonly definition: Definition };
      return loaded.definition;
    }),
  );
  return {
    one: async (draw) => {
      const definition = draw.pick(definitions);
      const items = Object.fromEntries(
        draw.list(4, () => {
          const [name, make] = draw.pick(ITEMS);
          return [draw.chance(0.9) ? name : draw.text(20), make(draw)];
        }),
      );
      const decoded = decodeMetadata(definition.metadata, items);
      if (!decoded.ok) {
        for (const fault of decoded.faults)
          ensure(String(JSON.stringify(fault)).length > 4, () => 'a fault without words');
        return;
      }
      try {
        const middleware = definition.create(decoded.value, componentDeps());
        await middleware.init?.(new AbortController().signal);
        for (let times = draw.int(1, 3); times > 0; times -= 1) {
          const run = await throughMiddleware(middleware, {
            method: draw.pick(['GET', 'POST', 'PUT', '']),
            path: draw.pick(['/a', '/x/1', '/v1.0/invoke/a/method/b', `/${draw.text(100)}`]),
            query: draw.pick(['', 'a=b', draw.text(50)]),
            headers: { [draw.word()]: draw.text(50) },
            remoteAddress: draw.pick(['127.0.0.1:1', '[::1]:1', '', draw.text(20)]),
            body: chunks(draw.text(200), draw.bytes(draw.size(200))),
          });
          ensure(run.status >= 100 && run.status <= 599, () => `status ${run.status}`);
        }
      } catch (error) {
        ensureForeseen(error);
      }
    },
  };
}

export const middleware: FuzzTarget = { name: 'middleware', inputs: 3_000, open };
