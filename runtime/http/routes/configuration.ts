/** Configuration over HTTP (Dapr HTTP reference, section 13). Both API versions behave the same. */

import type { ConfigurationBlock } from '../../contracts/blocks.ts';
import type { ConfigurationItem } from '../../contracts/configuration-store.ts';
import { goJson, jsonText } from '../../contracts/go-json.ts';
import { jsonReply, NO_CONTENT } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

type ConfigurationHandlers = Pick<
  HttpHandlers,
  'configurationGet' | 'configurationSubscribe' | 'configurationUnsubscribe'
>;

export function configurationHandlers(configuration: ConfigurationBlock): ConfigurationHandlers {
  return {
    configurationGet: async (request) => {
      const items = await configuration.get(
        request.param(0),
        request.queryValues('key'),
        request.metadata(),
        request.call,
      );
      const keys = Object.keys(items).sort();
      if (keys.length === 0) return NO_CONTENT;
      return jsonReply(200, `{${keys.map((key) => `${jsonText(key)}:${itemJson(items[key])}`).join(',')}}`);
    },
    configurationSubscribe: async (request) => {
      const id = await configuration.subscribe(
        request.param(0),
        request.queryValues('key'),
        request.metadata(),
        request.call,
      );
      return jsonReply(200, `{"id":${jsonText(id)}}\n`);
    },
    configurationUnsubscribe: async (request) => {
      const id = request.param(1);
      const fault = await configuration.unsubscribe(request.param(0), id, request.call);
      if (fault === undefined) return jsonReply(200, '{"ok":true}\n');
      const message = `failed to unsubscribe to configuration request ${id}: ${fault}`;
      return jsonReply(500, `{"message":${jsonText(message)}}\n`);
    },
  };
}

/** Empty members are left out. */
function itemJson(item: ConfigurationItem | undefined): string {
  if (item === undefined) return '{}';
  const { value, version, metadata } = item;
  return goJson({
    ...(value === '' ? {} : { value }),
    ...(version === '' ? {} : { version }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
  });
}
