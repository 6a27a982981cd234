// Bundles runtime/main.ts with everything it needs into lib/skerry.cjs, the database writer's thread into
// lib/skerry-writer.cjs, the SQLite addon beside them.
//
// One file starts faster than a tree of modules and needs no node_modules on the device. It is CommonJS, because an ES module
// that imports `node:http` makes Node evaluate every lazy export of it (its WebSocket alone costs 40 ms), and because `require`
// can stay inside the module that needs it. Components stay lazy too: esbuild turns `import()` of a bundled module into a
// call that evaluates it on first use. Names survive (only white space and syntax shrink), so a stack trace from the field can
// be read.

import { readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { fromRoot, outDir } from './paths.ts';
import { hostTarget, productVersion, type Target } from './targets.ts';

/**
 * First line of the program. The main thread of Node 26 calls itself `node-MainThread`; tools that look for `daprd` by process
 * name (the Dapr CLI does) must find the program's own.
 */
const COMM = `try { require('node:fs').writeFileSync('/proc/self/comm', process.argv[2] === 'daprd' ? 'daprd' : 'skerry'); } catch {}`;

/** Error texts in other languages: a fifth of the bundle, read by nobody. English is imported apart from them. */
const withoutLocales: Plugin = {
  name: 'without-locales',
  setup: (esbuild) => {
    esbuild.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({ contents: 'export {};' }));
  },
};

/** mqtt-packet keeps a buffer for each of the 65536 packet ids, 7 MB, unless its switch `cacheNumbers` is off: off from the start. */
const withoutNumberCache: Plugin = {
  name: 'without-number-cache',
  setup: (esbuild) => {
    esbuild.onLoad({ filter: /\/mqtt-packet\/writeToStream\.js$/ }, async ({ path }) => {
      const contents = `${await readFile(path, 'utf8')}\nmodule.exports.cacheNumbers = false;\n`;
      return { contents, loader: 'js' };
    });
  },
};

/** Escapes what esbuild leaves in regular expressions: one character beyond ASCII doubles the size of the source in memory. */
function makeAscii(file: string): void {
  const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  writeFileSync(file, readFileSync(file, 'utf8').replace(/[^\x00-\x7f]/g, escaped));
}

export interface Bundle {
  readonly file: string;
  readonly bytes: number;
  readonly metafile: Metafile;
}

const MAIN = 'skerry.cjs';
const WRITER = 'skerry-writer.cjs';

function options(target: Target): BuildOptions {
  return {
    absWorkingDir: fromRoot('.'),
    outdir: join(outDir(target), 'lib'),
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node26',
    // Of what is not bundled, only Node's own modules are imported, and `require` makes no namespace object of them.
    supported: { 'dynamic-import': false },
    alias: { 'better-sqlite3': `better-sqlite3/${target}` },
    loader: { '.node': 'copy' },
    assetNames: '[name]',
    external: ['cbor-extract', 'bufferutil', 'utf-8-validate', 'pg-native', 'pg-cloudflare'],
    define: {
      SKERRY_VERSION: JSON.stringify(productVersion()),
      SKERRY_WRITER: JSON.stringify(`./${WRITER}`),
      'import.meta.url': 'bundleUrl',
      'process.env.CBOR_NATIVE_ACCELERATION_DISABLED': '"true"',
    },
    plugins: [withoutLocales, withoutNumberCache],
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    logLevel: 'warning',
  };
}

const URL_LINE = `const bundleUrl = require('node:url').pathToFileURL(__filename).href;`;

/** Writes build/out/<target>/lib/{skerry.cjs,skerry-writer.cjs,*.map,<target>.node}. */
export async function bundle(target: Target): Promise<Bundle> {
  const shared = options(target);
  const { metafile } = await build({
    ...shared,
    entryPoints: { skerry: 'runtime/main.ts' },
    banner: { js: `${COMM}\n${URL_LINE}` },
    metafile: true,
  });
  await build({
    ...shared,
    entryPoints: { 'skerry-writer': 'runtime/writer.ts' },
    banner: { js: URL_LINE },
  });
  makeAscii(join(outDir(target), 'lib', MAIN));
  writeFileSync(join(outDir(target), 'bundle.meta.json'), JSON.stringify(metafile));
  const output = Object.entries(metafile.outputs).find(([name]) => name.endsWith(MAIN))?.[1];
  return { file: join(outDir(target), 'lib', MAIN), bytes: output?.bytes ?? 0, metafile };
}

if (import.meta.main) {
  const { bytes } = await bundle(hostTarget);
  if (process.argv.includes('--verbose')) process.stdout.write(`bundle: ${bytes} bytes\n`);
}
