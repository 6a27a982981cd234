/** All fuzz targets. */

import type { FuzzTarget } from './support/target.ts';
import { cel } from './targets/cel.ts';
import { events } from './targets/events.ts';
import { grpcApi } from './targets/grpc-api.ts';
import { grpcFrames } from './targets/grpc-frames.ts';
import { httpApi } from './targets/http-api.ts';
import { mqtt, mqttOverTls, mqttOverWebSocket } from './targets/mqtt.ts';
import { yaml } from './targets/yaml.ts';

export const TARGETS: readonly FuzzTarget[] = [
  httpApi,
  grpcApi,
  grpcFrames,
  events,
  cel,
  yaml,
  mqtt,
  mqttOverWebSocket,
  mqttOverTls,
];
