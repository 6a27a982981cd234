/** Keys as stores see them: the caller's key behind the component's prefix (HTTP reference, section 6.8). */

import { type LoadedComponent, metadataItem } from '../../contracts/component-source.ts';
import { runtimeError } from '../../contracts/error.ts';

export const KEY_SEPARATOR = '||';

export interface KeyPrefixer {
  /** The stored key; rejects a key that holds the separator. */
  toStored(key: string): string;
  /** The caller's key. */
  fromStored(stored: string): string;
}

/** A literal prefix that can never work; checked when a state store enters the store. */
export function illegalPrefix(component: Pick<LoadedComponent, 'metadata'>): string | undefined {
  const prefix = metadataItem(component, 'keyPrefix');
  return prefix?.includes(KEY_SEPARATOR) === true
    ? `input key/keyPrefix '${prefix}' can't contain '||'`
    : undefined;
}

export function keyPrefixer(
  component: Pick<LoadedComponent, 'name' | 'metadata'>,
  appId: string,
  namespace: string,
): KeyPrefixer {
  const setting = (metadataItem(component, 'keyPrefix') ?? '').toLowerCase();
  const prefix = prefixOf(setting, component.name, appId, namespace);
  return {
    toStored: (key) => {
      if (key.includes(KEY_SEPARATOR))
        throw runtimeError('stateIllegalKey', { key, store: component.name }, { info: null });
      return prefix === '' ? key : `${prefix}${KEY_SEPARATOR}${key}`;
    },
    fromStored: (stored) => {
      const at = stored.indexOf(KEY_SEPARATOR);
      return at < 0 ? stored : stored.slice(at + KEY_SEPARATOR.length);
    },
  };
}

function prefixOf(setting: string, store: string, appId: string, namespace: string): string {
  switch (setting) {
    case '':
    case 'appid':
      return appId;
    case 'name':
      return store;
    case 'namespace':
      return namespace === '' ? appId : `${namespace}.${appId}`;
    case 'none':
      return '';
    default:
      return setting;
  }
}
