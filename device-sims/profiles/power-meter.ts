/** A power meter: watts and a counter that only grows, in CBOR, QoS 0 as such meters like it. */

import { encode } from 'cbor-x';
import { type Profile, timestamp } from '../device.ts';

export const powerMeter: Profile = {
  name: 'power-meter',
  create: (random) => {
    let wattHours = Math.floor(random.float() * 1e6);
    return {
      measure: (moment) => {
        const watts = Math.floor(moment.random.float() ** 2 * 3000);
        wattHours += 1 + Math.floor(watts / 100);
        const payload = encode({ watts, wattHours, at: timestamp(moment) });
        return { measurement: 'power', payload, qos: 0, retain: false };
      },
    };
  },
};
