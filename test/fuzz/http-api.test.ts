import t from 'tap';
import { fuzzTests } from './support/fuzz-test.ts';
import { httpApi } from './targets/http-api.ts';

fuzzTests(t, [httpApi]);
