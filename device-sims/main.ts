/** Command line of the simulated fleet: `node device-sims/main.ts --help`. */

import { parseArgs } from 'node:util';
import type { Clock } from '../runtime/contracts/clock.ts';
import { parseGoDuration } from '../runtime/contracts/duration.ts';
import { FAULTS, parseFaults } from './faults.ts';
import { type Fleet, PROFILES, startFleet } from './fleet.ts';

const HELP = `Simulated MQTT devices.

  node device-sims/main.ts [options]

  --broker URL       where to connect            (default mqtt://127.0.0.1:1883)
  --devices N        how many devices            (default 20)
  --rate N           messages per second of each (default 1)
  --seed N           same seed, same devices     (default 1)
  --profiles LIST    of ${PROFILES.map((profile) => profile.name).join(', ')} (default all)
  --faults LIST      of ${FAULTS.join(', ')} (default none)
  --duration TIME    such as 60s or 5m; without it until Ctrl-C
  --help             this text

Topics: devices/<id>/<measurement>, commands on devices/<id>/set. Payloads are JSON, those of the power meter CBOR.
  devices/thermometer-1/temperature   {"celsius":21.4,"at":"..."}        QoS 1
  devices/door-contact-2/contact      {"open":true,"at":"..."}           QoS 1, retained
  devices/power-meter-3/power         {watts, wattHours, at} in CBOR     QoS 0
  devices/valve-4/state               {"position":40,"at":"..."}         QoS 1, retained
  devices/valve-4/set                 takes {"position":0..100}

Every 5 seconds and at the end one line: sent/acknowledged per profile.
`;

const SUMMARY_MS = 5000;

const clock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  startTimer: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  sleep: (delayMs) => new Promise((resolve) => setTimeout(resolve, delayMs)),
};

function summary(fleet: Fleet): string {
  const parts = Object.entries(fleet.counts()).map(([name, { sent, acknowledged, dropped, commands }]) => {
    const more = [dropped > 0 ? `${dropped} dropped` : '', commands > 0 ? `${commands} commands` : ''].filter(
      (one) => one !== '',
    );
    return `${name} ${sent}/${acknowledged}${more.length > 0 ? ` (${more.join(', ')})` : ''}`;
  });
  return `${fleet.connected()}/${fleet.ids.length} connected  ${parts.join('  ')}\n`;
}

function number(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value))
    throw new Error(`--${name}: expected a number, got '${text}'`);
  return value;
}

function chosenProfiles(text: string | undefined): typeof PROFILES {
  if (text === undefined) return PROFILES;
  return text.split(',').map((name) => {
    const profile = PROFILES.find((one) => one.name === name.trim());
    if (profile === undefined) {
      throw new Error(
        `--profiles: unknown profile '${name}': expected ${PROFILES.map((one) => one.name).join(', ')}`,
      );
    }
    return profile;
  });
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      broker: { ...text, default: 'mqtt://127.0.0.1:1883' },
      devices: { ...text, default: '20' },
      rate: { ...text, default: '1' },
      seed: { ...text, default: '1' },
      profiles: text,
      faults: { ...text, default: '' },
      duration: text,
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const durationMs = values.duration === undefined ? undefined : parseGoDuration(values.duration);
  if (values.duration !== undefined && (durationMs === undefined || durationMs <= 0)) {
    throw new Error(`--duration: expected a time such as 60s, got '${values.duration}'`);
  }
  const fleet = await startFleet({
    broker: values.broker,
    devices: number('devices', values.devices),
    rate: number('rate', values.rate),
    seed: number('seed', values.seed),
    profiles: chosenProfiles(values.profiles),
    faults: parseFaults(values.faults),
    clock,
  });
  const ticker = setInterval(() => process.stdout.write(summary(fleet)), SUMMARY_MS);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
    if (durationMs !== undefined) setTimeout(resolve, durationMs);
  });
  clearInterval(ticker);
  await fleet.stop();
  process.stdout.write(`done  ${summary(fleet)}`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(
    `${error instanceof Error ? error.message : String(error)}\n(--help shows the options)\n`,
  );
  process.exitCode = 1;
}
process.exit();
