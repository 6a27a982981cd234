import t from 'tap';
import { fuzzTests } from './support/fuzz-test.ts';
import { mqtt, mqttOverSecureWebSocket, mqttOverTls, mqttOverWebSocket } from './targets/mqtt.ts';

fuzzTests(t, [mqtt, mqttOverWebSocket, mqttOverTls, mqttOverSecureWebSocket]);
