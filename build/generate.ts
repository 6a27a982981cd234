// Generates runtime/generated/ from .proto files: Dapr's own (shipped inside @dapr/dapr) and our additions (build/proto).
//
// Plain TypeScript that Node can strip: protoc-gen-es writes enums as constant objects (`erasable_syntax`). The output is
// not in version control; build/run.mjs calls this when an input changed.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir, fromRoot, nodeModules } from './paths.ts';

/** Folders of @dapr/dapr's protos that we speak; `operator` (Kubernetes) is not among them. */
const DAPR_FOLDERS = ['common', 'runtime', 'internals', 'placement', 'scheduler', 'sentry'];

const OPTIONS = ['target=ts', 'import_extension=ts', 'erasable_syntax=true', 'elide_plugin_version=true'];

const sources = join(cacheDir, 'proto');
const output = fromRoot('runtime/generated');

/** One include root with Dapr's files and ours, because buf resolves imports inside one module. */
function collectSources(): void {
  rmSync(sources, { recursive: true, force: true });
  for (const folder of DAPR_FOLDERS) {
    const from = join(nodeModules, '@dapr/dapr/proto/dapr/proto', folder);
    const files = readdirSync(from, { recursive: true, encoding: 'utf8' });
    for (const file of files.filter((name) => name.endsWith('.proto'))) {
      cpSync(join(from, file), join(sources, 'dapr/proto', folder, file));
    }
  }
  cpSync(fromRoot('build/proto'), sources, { recursive: true });
}

/** Runs buf; everything it writes besides the output stays in build/.cache, so no home folder is needed. */
function runBuf(target: string): void {
  const template = {
    version: 'v2',
    plugins: [
      {
        local: [process.execPath, join(nodeModules, '@bufbuild/protoc-gen-es/bin/protoc-gen-es')],
        out: target,
        opt: OPTIONS,
      },
    ],
  };
  const templateFile = join(cacheDir, 'buf.gen.json');
  writeFileSync(templateFile, JSON.stringify(template));
  const buf = join(nodeModules, '@bufbuild/buf/bin/buf');
  const result = spawnSync(process.execPath, [buf, 'generate', sources, '--template', templateFile], {
    cwd: cacheDir,
    env: { ...process.env, BUF_CACHE_DIR: join(cacheDir, 'buf'), HOME: cacheDir },
    encoding: 'utf8',
  });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout}${result.stderr}${result.error?.message ?? ''}\n`);
  throw new Error('buf generate failed');
}

mkdirSync(cacheDir, { recursive: true });
collectSources();
const fresh = join(cacheDir, 'generated');
rmSync(fresh, { recursive: true, force: true });
runBuf(fresh);
rmSync(output, { recursive: true, force: true });
mkdirSync(fromRoot('runtime'), { recursive: true });
renameSync(fresh, output);
