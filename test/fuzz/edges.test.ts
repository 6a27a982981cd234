import t from 'tap';
import { fuzzTests } from './support/fuzz-test.ts';
import { commandLines } from './targets/command-line.ts';
import { middleware } from './targets/middleware.ts';
import { peer } from './targets/peer.ts';
import { pluggable } from './targets/pluggable.ts';

fuzzTests(t, [peer, pluggable, middleware, commandLines]);
