import t from 'tap';
import { fuzzTests } from './support/fuzz-test.ts';
import { grpcApi } from './targets/grpc-api.ts';
import { grpcFrames } from './targets/grpc-frames.ts';

fuzzTests(t, [grpcApi, grpcFrames]);
