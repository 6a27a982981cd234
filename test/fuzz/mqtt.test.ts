import t from 'tap';
import { fuzzTests } from './support/fuzz-test.ts';
import { mqtt } from './targets/mqtt.ts';

fuzzTests(t, [mqtt]);
