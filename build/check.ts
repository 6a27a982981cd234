// `npm run check`: the quick half of `npm test`, format and lint rules and types.

import { biome, step, tsc } from './steps.ts';

const results = [await step('biome', biome), await step('tsc', tsc)];
if (results.some(({ failed }) => failed > 0)) process.exitCode = 1;
