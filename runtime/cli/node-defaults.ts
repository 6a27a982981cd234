/** Defaults of the `skerry` commands where they are safer or more useful than daprd's: loopback, and a broker. */

import type { GivenFlags } from '../flags.ts';
import { freePortFrom } from './free-port.ts';
import { print } from './output.ts';

const DEFAULTS: Readonly<Record<string, string>> = {
  'dapr-listen-addresses': '127.0.0.1',
  'metrics-listen-address': '127.0.0.1',
  'mqtt-port': '1883',
};

/** `given` with our defaults for what was not given. */
export function withNodeDefaults(
  given: GivenFlags,
  extra: Readonly<Record<string, string>> = {},
): GivenFlags {
  const values = new Map(given.values);
  for (const [name, value] of Object.entries({ ...DEFAULTS, ...extra }))
    if (!values.has(name)) values.set(name, [value]);
  return { values, rest: given.rest };
}

/** Ports of the APIs that an app hears of through its environment. */
const TOLD: Readonly<Record<string, number>> = {
  'dapr-http-port': 3500,
  'dapr-grpc-port': 50_001,
  'metrics-port': 9090,
};
const ASKED = [...Object.keys(TOLD), 'app-port', 'dapr-internal-grpc-port', 'dapr-public-port', 'mqtt-port'];
const MQTT_PORT = 1883;

/**
 * Ports for a node that starts its app: one that was not asked for gives way to whoever has it, as with `dapr run`, since
 * the app is told. A node without an app keeps to the well-known ports, which nobody would look for elsewhere.
 */
export async function withFreePorts(given: GivenFlags): Promise<GivenFlags> {
  const values = new Map(given.values);
  const taken = new Set(ASKED.flatMap((name) => values.get(name)?.map(Number) ?? []));
  for (const [name, first] of Object.entries(TOLD)) {
    if (!values.has(name)) values.set(name, [String(await freePortFrom(first, taken))]);
  }
  if (!values.has('mqtt-port') && (await freePortFrom(MQTT_PORT, taken)) !== MQTT_PORT) {
    print(
      `Port ${MQTT_PORT} is taken: the MQTT broker of this node has no listener (--mqtt-port gives it one).`,
    );
    values.set('mqtt-port', ['off']);
  }
  return { values, rest: given.rest };
}
