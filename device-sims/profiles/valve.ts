/** A valve: takes `{"position": 0..100}` on its `set` topic and reports its state, retained, QoS 1. */

import { jsonReading, type Profile, type Reading, timestamp } from '../device.ts';

export const valve: Profile = {
  name: 'valve',
  create: () => {
    let position = 0;
    const state = (moment: Parameters<typeof timestamp>[0]): Reading =>
      jsonReading('state', { position, at: timestamp(moment) }, { retain: true });
    return {
      measure: state,
      command: (payload, moment) => {
        const wanted = positionOf(payload);
        if (wanted === undefined) return undefined;
        position = wanted;
        return state(moment);
      },
    };
  },
};

function positionOf(payload: Uint8Array): number | undefined {
  try {
    const { position } = JSON.parse(Buffer.from(payload).toString()) as { position?: unknown };
    return typeof position === 'number' && position >= 0 && position <= 100 ? position : undefined;
  } catch {
    return undefined;
  }
}
