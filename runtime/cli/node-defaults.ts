/** Defaults of the `skerry` commands where they are safer or more useful than daprd's: loopback, and a broker. */

import type { GivenFlags } from '../flags.ts';

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
