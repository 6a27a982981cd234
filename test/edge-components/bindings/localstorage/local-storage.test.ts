/** `bindings.localstorage`: what is written, what comes back, and that nothing outside of the folder is reached. */

import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  contentOf,
  createLocalStorageBinding,
} from '../../../../edge-components/bindings/localstorage/local-storage.ts';
import type { BindingResponse } from '../../../../runtime/contracts/binding.ts';
import { componentDeps } from '../../../support/component-deps.ts';

const never = new AbortController().signal;

interface Disk {
  readonly root: string;
  /** A folder beside the root that nothing may reach. */
  readonly outside: string;
  call(operation: string, fileName?: string, data?: string): Promise<BindingResponse | undefined>;
  text(fileName: string): Promise<string>;
}

async function open(t: Test): Promise<Disk> {
  const dir = t.testdir({ outside: { 'secret.txt': 'secret' } });
  const root = join(dir, 'disk');
  const binding = createLocalStorageBinding(root, componentDeps());
  await binding.init(never);
  t.teardown(() => binding.close());
  const call: Disk['call'] = async (operation, fileName, data = '') =>
    await binding.invoke?.(
      { operation, data: Buffer.from(data), metadata: fileName === undefined ? {} : { fileName } },
      never,
    );
  return {
    root,
    outside: join(dir, 'outside'),
    call,
    text: async (fileName) => Buffer.from((await call('get', fileName))?.data ?? []).toString('utf8'),
  };
}

const json = (response: BindingResponse | undefined): unknown =>
  JSON.parse(Buffer.from(response?.data ?? []).toString('utf8'));

t.test('create answers with the relative name, get with the bytes', async (t) => {
  const { call, text, root } = await open(t);
  t.strictSame(json(await call('create', 'a.txt', '"hello, disk"')), { fileName: 'a.txt' });
  t.equal(await text('a.txt'), 'hello, disk');
  t.strictSame(json(await call('create', './dir//x/../two.txt', '"2b"')), { fileName: 'dir/two.txt' });
  t.equal(readFileSync(join(root, 'dir/two.txt'), 'utf8'), '2b');
  t.strictSame(json(await call('create', undefined, '"x"')), {
    fileName: '00000000-0000-4000-8000-000000000003',
  });
});

t.test('data: JSON texts lose their quotes, base64 is decoded, the rest is kept', async (t) => {
  const content = (data: string): string => Buffer.from(contentOf(Buffer.from(data))).toString('latin1');
  t.equal(content('"hello, disk"'), 'hello, disk');
  t.equal(content('"a \\"b\\"\\n"'), 'a "b"\n');
  t.equal(content('"AAEC/w=="'), '\x00\x01\x02\xff');
  t.equal(content('AAEC/w=='), '\x00\x01\x02\xff');
  t.equal(content('{"b":1}'), '{"b":1}');
  t.equal(content('"x"'), 'x');
  t.equal(content(''), '');
  t.equal(content('""'), '');
  t.equal(content('null'), '\x9e\xe9\x65', 'four letters are base64');
  t.equal(content('ab=c'), 'ab=c');
  t.equal(content('===='), '====');
  t.equal(content('"broken'), '"broken');
  t.equal(content('"a" "b"'), '"a" "b"');
});

t.test('an existing file is replaced as a whole', async (t) => {
  const { call, text, root } = await open(t);
  await call('create', 'a.txt', '"long, long content"');
  await call('create', 'a.txt', '"short."');
  t.equal(await text('a.txt'), 'short.');
  t.strictSame(readdirSync(join(root, '.skerry-partial')), [], 'nothing half-written is left');
});

t.test('get of what is not there', async (t) => {
  const { call, root } = await open(t);
  await t.rejects(call('get', 'd.txt'), { message: `file not found: ${root}/d.txt` });
  await t.rejects(call('get', 'no/such/file'), { message: `file not found: ${root}/no/such/file` });
  mkdirSync(join(root, 'dir'));
  await t.rejects(call('get', 'dir'), { message: /^error reading file .*\/disk\/dir: / });
  await t.rejects(call('get'), { message: /'fileName' is missing/ });
});

t.test('list: absolute paths by name, recursive', async (t) => {
  const { call, root } = await open(t);
  t.strictSame(json(await call('list')), [], 'an empty folder');
  for (const name of ['b/2', 'b.txt', 'a', 'b/1/x']) await call('create', name, '"."');
  t.strictSame(json(await call('list')), [`${root}/a`, `${root}/b/1/x`, `${root}/b/2`, `${root}/b.txt`]);
  t.strictSame(json(await call('list', 'b')), [`${root}/b/1/x`, `${root}/b/2`]);
  await t.rejects(call('list', 'a'), {
    message: `unable to list files as the file specified is not a directory: ${root}/a`,
  });
  await t.rejects(call('list', 'nope'), {
    message: /^error getting stats for path .*no such file or directory$/,
  });
});

t.test('delete: a file or an empty folder, nothing else', async (t) => {
  const { call, root } = await open(t);
  await call('create', 'dir/d.txt', '"x"');
  await t.rejects(call('delete', 'dir'), { message: /^error deleting file .*\/dir: / });
  t.equal(await call('delete', 'dir/d.txt'), undefined, 'no response at all');
  await call('delete', 'dir');
  t.notOk(existsSync(join(root, 'dir')));
  await t.rejects(call('delete', 'd.txt'), {
    message: `error deleting file ${root}/d.txt: remove ${root}/d.txt: no such file or directory`,
  });
  for (const name of ['.', 'a/..', undefined]) await t.rejects(call('delete', name));
  t.ok(existsSync(root));
});

t.test('names that lead outside are refused by every operation', async (t) => {
  const { call, root, outside } = await open(t);
  mkdirSync(join(root, 'dir'));
  symlinkSync(outside, join(root, 'link'));
  symlinkSync(join(outside, 'secret.txt'), join(root, 'file-link'));
  symlinkSync(join(outside, 'new.txt'), join(root, 'dangling'));
  symlinkSync('../../outside', join(root, 'dir/relative-link'));
  const names = [
    '../outside/secret.txt',
    'dir/../../outside/secret.txt',
    '..',
    join(outside, 'secret.txt'),
    '/etc/passwd',
    'link/secret.txt',
    'link/new.txt',
    'link',
    'file-link',
    'dangling',
    'dir/relative-link/secret.txt',
    'link/../../outside/secret.txt',
    'a\0b',
  ];
  for (const name of names) {
    for (const operation of ['create', 'get', 'delete', 'list'])
      await t.rejects(
        call(operation, name, '"x"'),
        { message: /fileName|nowhere|outside/ },
        `${operation} ${name}`,
      );
  }
  t.strictSame(readdirSync(outside), ['secret.txt']);
  t.equal(readFileSync(join(outside, 'secret.txt'), 'utf8'), 'secret');
});

t.test('links that stay inside are followed', async (t) => {
  const { call, text, root } = await open(t);
  mkdirSync(join(root, 'real'));
  symlinkSync('real', join(root, 'link'));
  t.strictSame(json(await call('create', 'link/a.txt', '"x."')), { fileName: 'real/a.txt' });
  t.equal(await text('real/a.txt'), 'x.');
});

t.test('the folder of unfinished files is not for callers, and is emptied at start', async (t) => {
  const dir = t.testdir({ disk: { '.skerry-partial': { left: 'half' }, a: 'whole' } });
  const binding = createLocalStorageBinding(join(dir, 'disk'), componentDeps());
  await binding.init(never);
  t.notOk(existsSync(join(dir, 'disk/.skerry-partial/left')));
  const request = {
    operation: 'create',
    data: Buffer.from('"x"'),
    metadata: { fileName: '.skerry-partial/x' },
  };
  await t.rejects(async () => void (await binding.invoke?.(request, never)), { message: /reserved/ });
  await binding.close();
  await t.rejects(async () => void (await binding.invoke?.(request, never)), { message: /closed/ });
});

t.test('rootPath: created, also relative; files and system folders are refused', async (t) => {
  const dir = t.testdir({ file: 'x' });
  const init = (path: string): Promise<void> => createLocalStorageBinding(path, componentDeps()).init(never);
  await init(join(dir, 'a/b/c'));
  t.ok(existsSync(join(dir, 'a/b/c')));
  await t.rejects(init(join(dir, 'file')), { message: /'rootPath': .*file and not a folder/ });
  await t.rejects(init(join(dir, 'file/sub')), { message: /not a folder/ });
  for (const path of ['/proc/x', '/sys', '/boot/data', '/var/run/secrets/x'])
    await t.rejects(init(path), { message: /'rootPath': points to a disallowed location/ }, path);
  symlinkSync('/proc', join(dir, 'proc-link'));
  await t.rejects(init(join(dir, 'proc-link')), { message: /disallowed location/ });
});

t.test('a failed write leaves the old content', async (t) => {
  const { call, text, root } = await open(t);
  await call('create', 'a.txt', '"old."');
  mkdirSync(join(root, 'folder/in'), { recursive: true });
  writeFileSync(join(root, 'folder/in/x'), '');
  await t.rejects(call('create', 'folder', '"x"'), { message: /^error creating file .*\/folder: / });
  await t.rejects(call('create', 'a.txt/b', '"x"'), { message: /not a folder/ });
  t.equal(await text('a.txt'), 'old.');
  t.strictSame(readdirSync(join(root, '.skerry-partial')), []);
});
