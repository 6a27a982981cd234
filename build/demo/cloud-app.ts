// The app in the cloud: counts what arrives, by event id and by device, and notices gaps and repeats; makes a setting for the
// gateway in its own store; and calls the gateway's app by its app id. Plain HTTP, no SDK: it knows nothing of edges.

import { serve } from './http-app.ts';

interface Delivered {
  readonly id: string;
  readonly data: { readonly device: string; readonly sequence: number };
}

const sidecar = `http://127.0.0.1:${process.env['DAPR_HTTP_PORT']}/v1.0`;
const RETRY_MS = 250;
const CALL_LIMIT_MS = 1500;

/** The sidecar comes up after its app. */
async function makeSetting(): Promise<void> {
  const saved = await fetch(`${sidecar}/state/statestore`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([{ key: 'site-1.settings', value: { alarmAbove: 22 } }]),
  }).catch(() => undefined);
  if (saved?.ok !== true) setTimeout(() => void makeSetting(), RETRY_MS);
}

async function callGateway(): Promise<unknown> {
  const answer = await fetch(`${sidecar}/invoke/gateway/method/stats`, {
    signal: AbortSignal.timeout(CALL_LIMIT_MS),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
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
  '/gateway': callGateway,
  '/stats': () => ({ ...stats, devices: last.size }),
});

void makeSetting();
