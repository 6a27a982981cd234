// `npm start`: the gateway as a user meets it. Simulated devices speak MQTT to its broker, a sample app beside it stores
// every reading and forwards it, a second node plays the cloud; a Sync keeps both stores in step, and a relay lets the cloud's
// app call the gateway's. With `--cloud-outage` the cloud goes away and comes back.

import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { assemble } from './build.ts';
import { Demo } from './demo/demo.ts';
import { type DemoOptions, OptionError, readOptions, requireFreePorts, USAGE } from './demo/options.ts';
import { account, meshLine, meshState, readingsLine, type Seen } from './demo/report.ts';
import { outDir } from './paths.ts';
import { hostTarget } from './targets.ts';

const REPORT_MS = 2000;
/** The second line comes when it says something new, and as often as this. */
const MESH_EVERY = 5;
const SETTLE_MS = 6000;
const DRAIN_LIMIT_MS = 120_000;
/** A node that does not reach its relay dials again after half a minute at the latest. */
const REDIAL_LIMIT_MS = 40_000;
const LOOK_MS = 200;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

function showUp(options: DemoOptions): void {
  const { httpPort, grpcPort, mqttPort, cloudHttpPort, relayPort, devices, rate } = options;
  say(
    `Gateway up: HTTP API on ${httpPort}, gRPC API on ${grpcPort}, MQTT broker on ${mqttPort}. Cloud node on ${cloudHttpPort}, its relay on ${relayPort}.`,
  );
  say(`${devices} simulated devices are connected and measure ${rate} times a second each.`);
}

function showCommands({ httpPort, cloudHttpPort, mqttPort }: DemoOptions): void {
  const api = `http://localhost:${httpPort}/v1.0`;
  const json = `-H 'content-type: application/json'`;
  say('');
  say('Try, in another terminal:');
  say(`  curl ${api}/state/statestore/thermometer-1`);
  say(
    `  curl -X POST '${api}/publish/pubsub/devices/valve-4/set?metadata.rawPayload=true' ${json} -d '{"position":70}'; sleep 2; curl ${api}/state/statestore/valve-4`,
  );
  say(`  curl ${api}/skerry/spool`);
  const cloud = `http://localhost:${cloudHttpPort}/v1.0`;
  say("And in the cloud: call the gateway's app; change the gateway's setting");
  say(`  curl ${cloud}/invoke/gateway/method/stats`);
  say(`  curl ${cloud}/state/statestore ${json} -d '[{"key":"site-1.settings","value":{"alarmAbove":20}}]'`);
  say(
    `Any MQTT client is a device: mosquitto_pub -p ${mqttPort} -t devices/mine/temperature -q 1 -m '{"celsius":30}'`,
  );
  say('Ctrl-C ends everything.');
  say('');
}

/** Says how things stand, now and every two seconds, until the result is called. */
function startReports(demo: Demo): () => void {
  let last = '';
  let since = 0;
  let over = false;
  const report = async (): Promise<void> => {
    const seen = await demo.look();
    if (seen === undefined || over) return;
    say(readingsLine(seen));
    since += 1;
    if (meshState(seen) === last && since < MESH_EVERY) return;
    say(meshLine(seen));
    last = meshState(seen);
    since = 0;
  };
  const timer = setInterval(() => void report(), REPORT_MS);
  return () => {
    over = true;
    clearInterval(timer);
  };
}

/** Nothing waits and nothing is between app and queue. */
function isSettled({ app, queue, flows }: Seen): boolean {
  const drained = queue.pending === 0 && app.forwarded === app.received && queue.accepted >= app.forwarded;
  return drained && flows.length > 0 && flows.every(({ link, lag }) => link === 'up' && lag.messages === 0);
}

/** Switches the cloud off and on and settles the account. Resolves with the exit code. */
async function outage(demo: Demo, outageMs: number, stopped: AbortSignal): Promise<number> {
  const stopReports = startReports(demo);
  const pause = (ms: number): Promise<unknown> =>
    sleep(ms, undefined, { signal: stopped }).catch(() => undefined);
  const lookUntil = async (good: (seen: Seen) => boolean, limitMs: number): Promise<Seen | undefined> => {
    let seen = await demo.look();
    for (let waited = 0; waited < limitMs && !stopped.aborted; waited += LOOK_MS) {
      if (seen !== undefined && good(seen)) break;
      await pause(LOOK_MS);
      seen = await demo.look();
    }
    return seen;
  };
  await pause(SETTLE_MS);
  if (stopped.aborted) return 0;
  say(`--- The cloud goes away for ${outageMs / 1000} s. ---`);
  await demo.stopCloud();
  await pause(outageMs);
  if (stopped.aborted) return 0;
  say('--- The cloud comes back. ---');
  await demo.startCloud();
  await pause(REPORT_MS);
  await demo.stopFleet();
  await lookUntil(isSettled, DRAIN_LIMIT_MS);
  await pause(1000);
  stopReports();
  const isCalled = ({ called }: Seen): boolean => called !== undefined;
  if ((await lookUntil(isCalled, LOOK_MS))?.called === undefined && !stopped.aborted)
    say(
      'Everything has arrived. The gateway dials the relay again after pauses that grow to 30 s at most ...',
    );
  await lookUntil(isCalled, REDIAL_LIMIT_MS);
  const seen = await demo.look();
  if (stopped.aborted || seen === undefined) return stopped.aborted ? 0 : 1;
  const { lines, good } = account(seen, await demo.equalReadings(seen.app.devices));
  say('');
  for (const line of lines) say(line);
  return good ? 0 : 1;
}

/** The package under test where a test runs this, a fresh one for a person. */
async function packageFolder(): Promise<string> {
  const given = process.env['SKERRY_PACKAGE'];
  if (given !== undefined) return given;
  say(await assemble(hostTarget));
  return outDir(hostTarget);
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    say(USAGE);
    return 0;
  }
  const stopped = new AbortController();
  let exitCode = 0;
  const stop = (code: number): void => {
    exitCode = Math.max(exitCode, code);
    stopped.abort();
  };
  process.on('SIGINT', () => stop(0));
  process.on('SIGTERM', () => stop(0));
  await requireFreePorts(options);
  rmSync(options.folder, { recursive: true, force: true });
  mkdirSync(options.folder, { recursive: true });
  const skerry = join(await packageFolder(), 'skerry');
  if (stopped.signal.aborted) return exitCode;
  const demo = new Demo(options, skerry, (message) => {
    say(message);
    stop(1);
  });
  try {
    await demo.startAll();
    showUp(options);
    showCommands(options);
    if (options.outageMs > 0) stop(await outage(demo, options.outageMs, stopped.signal));
    else if (!stopped.signal.aborted) {
      const stopReports = startReports(demo);
      await once(stopped.signal, 'abort');
      stopReports();
    }
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    stop(1);
  }
  say('Stopping ...');
  await demo.close();
  say(exitCode === 0 ? 'Stopped.' : `Stopped after a failure; logs are in ${options.folder}.`);
  return exitCode;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof OptionError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
