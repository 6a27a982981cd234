/** A door contact: opens and closes, its last state retained, QoS 1. */

import { jsonReading, type Profile, timestamp } from '../device.ts';

export const doorContact: Profile = {
  name: 'door-contact',
  create: (random) => {
    let open = random.float() < 0.5;
    return {
      measure: (moment) => {
        open = !open;
        return jsonReading('contact', { open, at: timestamp(moment) }, { retain: true });
      },
    };
  },
};
