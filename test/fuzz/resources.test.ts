import t from 'tap';
import { fuzzTests } from './support/fuzz-test.ts';
import { cel } from './targets/cel.ts';
import { yaml } from './targets/yaml.ts';

fuzzTests(t, [yaml, cel]);
