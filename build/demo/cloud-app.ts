// The app in the cloud: counts what arrives, by event id and by device, and notices gaps and repeats.

import { serve } from './http-app.ts';

interface Delivered {
  readonly id: string;
  readonly data: { readonly device: string; readonly sequence: number };
}

const seen = new Set<string>();
const last = new Map<string, number>();
const stats = { received: 0, repeated: 0, outOfOrder: 0 };

serve(Number(process.env['APP_PORT']), {
  '/readings': (event) => {
    const { id, data } = event as Delivered;
    if (seen.has(id)) {
      stats.repeated += 1;
      return;
    }
    seen.add(id);
    stats.received += 1;
    if (data.sequence !== (last.get(data.device) ?? 0) + 1) stats.outOfOrder += 1;
    last.set(data.device, Math.max(data.sequence, last.get(data.device) ?? 0));
  },
  '/stats': () => ({ ...stats, devices: last.size }),
});
