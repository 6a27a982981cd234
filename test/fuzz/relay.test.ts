import t from 'tap';
import { fuzzTests } from './support/fuzz-test.ts';
import { relayNodes } from './targets/relay-nodes.ts';
import { relayStrangers } from './targets/relay-strangers.ts';

fuzzTests(t, [relayStrangers, relayNodes]);
