// The app beside the gateway: keeps the last reading of every device, forwards each one to the cloud, and raises alarms by
// a setting that the cloud makes. Plain HTTP, no SDK: it talks to the Dapr API of its sidecar and knows nothing of Skerry.

import { serve } from './http-app.ts';

const sidecar = `http://127.0.0.1:${process.env['DAPR_HTTP_PORT']}/v1.0`;
const stats = { received: 0, stored: 0, forwarded: 0, alarms: 0 };
const devices = new Set<string>();

async function post(path: string, body: unknown): Promise<void> {
  const answer = await fetch(`${sidecar}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
}

/** Made by the cloud app in the cloud's store; a Sync brings it into the store here. */
let settings: { readonly alarmAbove?: number } = {};

async function readSettings(): Promise<void> {
  const answer = await fetch(`${sidecar}/state/statestore/settings`);
  if (answer.status === 200) settings = (await answer.json()) as typeof settings;
}

function isAlarm(reading: unknown): boolean {
  const { celsius } = Object(reading) as { readonly celsius?: unknown };
  return typeof celsius === 'number' && celsius > (settings.alarmAbove ?? Number.POSITIVE_INFINITY);
}

/** Sequence per device, so that the cloud can tell whether anything is missing or out of order. */
const sequences = new Map<string, number>();

/** A device's message as the sidecar wraps it: the topic tells who, `data_base64` holds what the device sent. */
interface RawEvent {
  readonly topic: string;
  readonly data_base64: string;
}

/** The payload as JSON, or as text where a device sends something else. */
function payloadOf(event: RawEvent): unknown {
  const text = Buffer.from(event.data_base64, 'base64').toString();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

serve(Number(process.env['APP_PORT']), {
  '/readings': async (event) => {
    const raw = event as RawEvent;
    const [, device = 'unknown', measurement = ''] = raw.topic.split('/');
    if (measurement === 'set') return;
    const reading = payloadOf(raw);
    stats.received += 1;
    devices.add(device);
    await post('state/statestore', [{ key: device, value: { measurement, reading } }]);
    stats.stored += 1;
    await readSettings();
    if (isAlarm(reading)) stats.alarms += 1;
    const sequence = (sequences.get(device) ?? 0) + 1;
    sequences.set(device, sequence);
    await post('bindings/cloud', {
      operation: 'create',
      metadata: { device },
      data: { device, sequence, measurement, reading },
    });
    stats.forwarded += 1;
  },
  '/stats': () => ({ ...stats, ...settings, devices: [...devices] }),
});
