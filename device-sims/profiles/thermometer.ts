/** A room thermometer: a slow random walk, QoS 1. */

import { jsonReading, type Profile, timestamp } from '../device.ts';

export const thermometer: Profile = {
  name: 'thermometer',
  create: (random) => {
    let celsius = 18 + random.float() * 6;
    return {
      measure: (moment) => {
        celsius = Math.min(45, Math.max(-30, celsius + (moment.random.float() - 0.5) * 0.4));
        return jsonReading('temperature', { celsius: Number(celsius.toFixed(2)), at: timestamp(moment) });
      },
    };
  },
};
