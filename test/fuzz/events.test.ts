import t from 'tap';
import { fuzzTests } from './support/fuzz-test.ts';
import { events } from './targets/events.ts';

fuzzTests(t, [events]);
