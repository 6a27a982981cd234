// What the demo says while it runs, in lines a person understands. Pure: figures in, text out.

export interface AppStats {
  readonly received: number;
  readonly stored: number;
  readonly forwarded: number;
  readonly devices: readonly string[];
  /** The setting that the cloud made, once it is here. */
  readonly alarmAbove?: number;
  readonly alarms: number;
}

export interface CloudStats {
  readonly received: number;
  readonly repeated: number;
  readonly outOfOrder: number;
}

export interface Queue {
  readonly accepted: number;
  readonly delivered: number;
  readonly pending: number;
  readonly dropped: Readonly<Record<string, number>>;
}

/** One flow of the gateway's Sync, as its API tells it. */
export interface Flow {
  readonly name: string;
  readonly link: string;
  readonly lag: { readonly messages: number; readonly seconds: number };
}

/** One look at everything. */
export interface Seen {
  readonly app: AppStats;
  readonly cloud: CloudStats | undefined;
  /** What the gateway's app answered to the cloud's app, which called it by its app id. */
  readonly called: AppStats | undefined;
  readonly queue: Queue;
  readonly flows: readonly Flow[];
  readonly cloudOn: boolean;
}

export const EMPTY_QUEUE: Queue = { accepted: 0, delivered: 0, pending: 0, dropped: {} };
export const READINGS_FLOW = 'site-1/readings';
/** Readings come in all the time: what is younger than this is on its way, not behind. */
const ON_ITS_WAY_S = 3;

/** Where the readings are. */
export function readingsLine({ app, cloud, queue, cloudOn }: Seen): string {
  return (
    `${app.received} readings from ${app.devices.length} devices | ${app.stored} stored | ${queue.accepted} queued for the cloud: ` +
    `${queue.delivered} delivered, ${queue.pending} waiting | cloud app has ${cloud?.received ?? 0} | ${cloudOn ? 'cloud on' : 'cloud OFF'}`
  );
}

function syncText({ flows }: Seen): string {
  const flow = flows.find(({ name }) => name === READINGS_FLOW);
  if (flow === undefined || flow.link === 'unknown') return 'sync has not begun';
  const { messages, seconds } = flow.lag;
  if (flow.link === 'up' && seconds <= ON_ITS_WAY_S) return 'last readings are in the cloud (caught up)';
  const behind = `cloud is ${messages} last readings and ${Math.round(seconds)} s behind`;
  return flow.link === 'up' ? `${behind}, catching up` : `${behind}, no link`;
}

function settingText({ app }: Seen): string {
  if (app.alarmAbove === undefined) return 'no setting from the cloud yet';
  return `the cloud's setting "alarm above ${app.alarmAbove} °C" made ${app.alarms} alarms`;
}

function relayText({ called, cloudOn }: Seen): string {
  if (called !== undefined)
    return `cloud called gateway's app through the relay: ${called.received} readings`;
  return cloudOn ? 'relay: waiting for the gateway to dial again' : 'no relay, no calls';
}

/** How the gateway and the cloud hang together. */
export function meshLine(seen: Seen): string {
  return `    sync: ${syncText(seen)} | ${settingText(seen)} | ${relayText(seen)}`;
}

/** The mesh line without its figures: what a person wants to hear of when it changes. */
export function meshState(seen: Seen): string {
  return meshLine(seen).replaceAll(/\d+/g, '#');
}

export const droppedOf = (queue: Queue): number =>
  Object.values(queue.dropped).reduce((sum, count) => sum + count, 0);

/** The account after an outage, and whether it is as it must be. */
export function account(
  seen: Seen,
  equal: number,
): { readonly lines: readonly string[]; readonly good: boolean } {
  const { app, cloud, queue, called } = seen;
  const dropped = droppedOf(queue);
  const lost = queue.accepted - (cloud?.received ?? 0);
  const lines = [
    `accepted ${queue.accepted} = delivered ${queue.delivered} + pending ${queue.pending} + dropped ${dropped}`,
    `The cloud app received ${cloud?.received ?? 0} readings: ${lost} lost, ${cloud?.repeated ?? 0} repeated, ${cloud?.outOfOrder ?? 0} out of order.`,
    `Sync: ${equal} of ${app.devices.length} last readings are the same in the cloud's store as in the gateway's.`,
    `Relay: the cloud app ${called === undefined ? 'does not reach' : 'reaches'} the gateway's app again.`,
  ];
  const balanced = queue.accepted === queue.delivered + queue.pending + dropped;
  const good = balanced && lost === 0 && cloud?.outOfOrder === 0 && equal === app.devices.length;
  return { lines, good: good && called !== undefined };
}
