// Bundles runtime/main.ts with everything it needs into lib/skerry.mjs, the SQLite addon beside it.
//
// One file starts faster than a tree of modules and needs no node_modules on the device. Components stay lazy inside it:
// esbuild turns `import()` of a bundled module into a call that evaluates it on first use. Names survive (only white space
// and syntax shrink), so a stack trace from the field can be read.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { fromRoot, outDir } from './paths.ts';
import { hostTarget, productVersion, type Target } from './targets.ts';

/**
 * First line of the bundle. CommonJS packages inside an ES module need a `require`. The main thread of Node 26 calls itself
 * `node-MainThread`; tools that look for `daprd` by process name (the Dapr CLI does) must find the program's own. A
 * worker that runs this same file has no say in it.
 */
const BANNER = [
  `import { createRequire as bundleRequire } from 'node:module';`,
  `import { writeFileSync as writeComm } from 'node:fs';`,
  `import { isMainThread as ownsComm } from 'node:worker_threads';`,
  'const require = bundleRequire(import.meta.url);',
  `if (ownsComm) try { writeComm('/proc/self/comm', process.argv[2] === 'daprd' ? 'daprd' : 'skerry'); } catch {}`,
].join('\n');

export interface Bundle {
  readonly file: string;
  readonly bytes: number;
  readonly metafile: Metafile;
}

/** Writes build/out/<target>/lib/{skerry.mjs,skerry.mjs.map,<target>.node}. */
export async function bundle(target: Target): Promise<Bundle> {
  const lib = join(outDir(target), 'lib');
  const file = join(lib, 'skerry.mjs');
  const { metafile } = await build({
    absWorkingDir: fromRoot('.'),
    entryPoints: { skerry: 'runtime/main.ts' },
    outdir: lib,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: false,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    banner: { js: BANNER },
    alias: { 'better-sqlite3': `better-sqlite3/${target}` },
    loader: { '.node': 'copy' },
    assetNames: '[name]',
    external: ['cbor-extract', 'bufferutil', 'utf-8-validate'],
    define: {
      SKERRY_VERSION: JSON.stringify(productVersion()),
      'process.env.CBOR_NATIVE_ACCELERATION_DISABLED': '"true"',
    },
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  });
  writeFileSync(join(outDir(target), 'bundle.meta.json'), JSON.stringify(metafile));
  const output = Object.entries(metafile.outputs).find(([name]) => name.endsWith('skerry.mjs'))?.[1];
  return { file, bytes: output?.bytes ?? 0, metafile };
}

if (import.meta.main) {
  const { bytes } = await bundle(hostTarget);
  if (process.argv.includes('--verbose')) process.stdout.write(`bundle: ${bytes} bytes\n`);
}
