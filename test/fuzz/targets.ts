/** All fuzz targets. */

import type { FuzzTarget } from './support/target.ts';
import { cel } from './targets/cel.ts';
import { commandLines } from './targets/command-line.ts';
import { events } from './targets/events.ts';
import { grpcApi } from './targets/grpc-api.ts';
import { grpcFrames } from './targets/grpc-frames.ts';
import { httpApi } from './targets/http-api.ts';
import { middleware } from './targets/middleware.ts';
import { mqtt, mqttOverSecureWebSocket, mqttOverTls, mqttOverWebSocket } from './targets/mqtt.ts';
import { peer } from './targets/peer.ts';
import { pluggable } from './targets/pluggable.ts';
import { relayNodes } from './targets/relay-nodes.ts';
import { relayStrangers } from './targets/relay-strangers.ts';
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
  mqttOverSecureWebSocket,
  peer,
  pluggable,
  middleware,
  commandLines,
  relayStrangers,
  relayNodes,
];
