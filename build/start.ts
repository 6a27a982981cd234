// `npm start`: runs the bundle that build/bundle.ts just wrote, as `skerry` with the given arguments. (Placeholder for the
// demonstration: broker, sidecar and simulated devices.)

import { join } from 'node:path';
import { outDir } from './paths.ts';
import { hostTarget } from './targets.ts';

const bundled = join(outDir(hostTarget), 'lib/skerry.mjs');
process.argv.splice(1, 1, bundled, 'skerry');
await import(bundled);
