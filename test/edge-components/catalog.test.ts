/** Walks the catalog: every row loads, its key is the type of its definition or an alias of it, and its README is complete. */

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { catalog } from '../../edge-components/catalog.ts';

const ALIASES: Readonly<Record<string, string>> = {
  'state.sqlite3': 'state.sqlite',
  'pubsub.mqtt': 'pubsub.mqtt3',
  'bindings.mqtt': 'bindings.mqtt3',
};

/** `secretstores.local.env` -> `secretstores/local-env`: the folder of a type. */
function folderOf(type: string): string {
  const [category = '', ...rest] = type.split('.');
  const name = rest
    .filter((part) => part !== 'dapr' || rest.length === 1)
    .filter((part) => part !== 'http' || rest.length === 1);
  return `${category}/${name.join('-')}`;
}

for (const [key, load] of Object.entries(catalog)) {
  t.test(key, async (t) => {
    t.match(key, /^[a-z0-9.-]+\/v\d+$/, 'lower case, with a version');
    const { definition } = await load();
    const type = key.slice(0, key.lastIndexOf('/'));
    t.equal(definition.type, ALIASES[type] ?? type, 'key and definition name the same type');
    t.equal(definition.category, type.split('.')[0], 'category is the first part of the type');
    t.ok(Object.isFrozen(definition), 'made by defineComponent');

    const readme = fileURLToPath(
      new URL(`../../edge-components/${folderOf(definition.type)}/README.md`, import.meta.url),
    );
    if (!t.ok(existsSync(readme), `${readme} exists`)) return;
    const text = readFileSync(readme, 'utf8');
    for (const name of definition.metadata.names)
      t.ok(text.includes(`\`${name}\``), `README lists \`${name}\``);
    for (const alias of Object.keys(definition.metadata.aliases)) {
      t.ok(text.includes(`\`${alias}\``), `README lists the alias \`${alias}\``);
    }
  });
}
