/** What changed between two readings, and what a broken file keeps. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { difference, keepBrokenFiles } from '../../../runtime/resources/difference.ts';
import { type LoadedResources, loadResources } from '../../../runtime/resources/load.ts';

const component = (name: string, type = 'state.in-memory', more = ''): string =>
  `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: ${name}}\nspec: {type: ${type}, version: v1}\n${more}\n`;

interface Folder {
  write(file: string, text: string): void;
  load(): Promise<LoadedResources>;
}

function folder(t: Test, files: Readonly<Record<string, string>>): Folder {
  const dir = t.testdir(files as Record<string, string>);
  return {
    write: (file, text) => writeFileSync(join(dir, file), text),
    load: () => loadResources({ directories: [dir], appId: 'app', namespace: undefined }),
  };
}

const names = (resources: readonly { readonly name: string }[]) => resources.map(({ name }) => name);

t.test('removed, changed, added; a move to another file or another scope is no change', async (t) => {
  const { write, load } = folder(t, {
    'a.yaml': `${component('same')}---\n${component('moved')}---\n${component('changed')}`,
    'b.yaml': component('removed'),
  });
  const before = await load();
  write(
    'a.yaml',
    `${component('changed', 'state.sqlite')}---\n${component('same', undefined, 'scopes: [app]')}`,
  );
  write('b.yaml', `${component('added')}---\n${component('moved')}`);
  const now = await load();
  const found = difference(before.components, now.components);
  t.strictSame(
    [names(found.removed), names(found.changed), names(found.added)],
    [['removed'], ['changed'], ['added']],
  );
  t.match(found.changed, [{ type: 'state.sqlite' }]);
  const none = difference(now.components, (await load()).components);
  t.strictSame([none.removed, none.changed, none.added], [[], [], []]);
});

t.test('Configuration documents are compared by what they say', async (t) => {
  const document = (rate: string): string =>
    `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {tracing: {samplingRate: "${rate}"}}\n`;
  const { write, load } = folder(t, { 'c.yaml': document('0') });
  const before = await load();
  t.strictSame(before.faults, []);
  write('c.yaml', `# a comment\n${document('0')}`);
  t.strictSame(difference(before.configurations, (await load()).configurations).changed, []);
  write('c.yaml', document('1'));
  t.strictSame(names(difference(before.configurations, (await load()).configurations).changed), ['c']);
});

t.test('a broken file keeps all it gave; other files are taken', async (t) => {
  const { write, load } = folder(t, {
    'a.yaml': `${component('one')}---\n${component('two')}`,
    'b.yaml': component('three'),
  });
  const before = await load();
  write('a.yaml', `${component('one', 'state.sqlite')}---\nspec: [`);
  write('b.yaml', component('four'));
  const kept = keepBrokenFiles(before, await load());
  t.strictSame(names(kept.components).toSorted(), ['four', 'one', 'two']);
  t.strictSame(difference(before.components, kept.components).changed, []);

  write('a.yaml', component('one', '5').replace('type: 5', 'types: 5'));
  const invalid = keepBrokenFiles(before, await load());
  t.strictSame(
    names(invalid.components).toSorted(),
    ['four', 'one', 'two'],
    'also when a document is not valid',
  );

  write('b.yaml', component('two', 'state.sqlite'));
  const moved = keepBrokenFiles(before, await load());
  t.match(
    moved.components.find(({ name }) => name === 'two')?.type,
    'state.sqlite',
    'another file has it now',
  );

  write('a.yaml', component('other', '', 'scopes: [elsewhere]').replace('type: ,', ''));
  t.strictSame(names(keepBrokenFiles(before, await load()).components), ['two'], 'broken for others only');
});
