/**
 * The life of a state flow: opens the journal of its local store, takes turns while there is something to do, waits for
 * changes or the next poll, tries again when nobody is there, rests with its error shown when the other side keeps saying
 * no. Its own failures are its own: other flows go on.
 */

import type { Timer } from '../../contracts/clock.ts';
import { errorText } from '../../contracts/error.ts';
import type { StateFlowSpec, TopicAddress } from '../../contracts/resource.ts';
import { EtagError, type StateJournal } from '../../contracts/state-store.ts';
import { compileRules } from '../pubsub/routing-rules.ts';
import { CONFLICT_TYPE, type ConflictFacts } from './conflict-event.ts';
import type { SharedParts } from './deps.ts';
import { LinkRecord } from './failures.ts';
import { type FlowRecord, openRecord, RECORD_MIGRATION } from './flow-record.ts';
import { flowStatus } from './flow-status.ts';
import { stampMs } from './hybrid-clock.ts';
import { createLimiter } from './limits.ts';
import { StateExchange } from './state-exchange.ts';
import { openSide, type SideRecord, type StateSide } from './state-side.ts';
import { FORWARDED_TYPE, ownEvent } from './sync-event.ts';
import { keyNames } from './synced-keys.ts';
import type { Flow } from './topic-flow.ts';

interface Open {
  readonly exchange: StateExchange;
  readonly journal: StateJournal;
  readonly record: FlowRecord;
  readonly near: StateSide;
}

/** Changes that come within this time travel together. */
const LINGER_MS = 20;
/** Writes by other sidecars and programs are noticed after this at the latest. */
const LOCAL_CHECK_MS = 5000;
const OUTAGE_MS = 1000;
const PARKED_MS = 60_000;
const RETRY_MS = 1000;
/** Somebody else writes at the same time: looked at again at once, so many times. */
const RACE_MS = 30;
const MOST_RACES = 20;
const MEASURED = 200;
const COUNTED = 100_000;

export function createStateFlow(
  spec: StateFlowSpec,
  name: string,
  conflictTopic: TopicAddress | undefined,
  parts: SharedParts,
): Flow {
  const { clock, log, components, closing, metrics } = parts;
  const origin = `${parts.appId}/${name}`;
  const link = new LinkRecord();
  const limiter = createLimiter(spec, clock, undefined, parts.usage.budget(name));
  const names = keyNames(spec.keys, spec.prefixes);
  const filter = spec.filter === '' ? undefined : compileRules([{ match: spec.filter, path: 'yes' }]);
  const pulls = spec.direction !== 'up';
  let open: Open | undefined;
  let stopped = false;
  let pullAt = 0;
  /** Refused keys go along in the next turn. */
  let again = false;
  /** Somebody has asked for an attempt since the last one began. */
  let asked = false;
  let races = 0;
  let timer: Timer | undefined;
  let rung = false;
  let ring: () => void = () => {};
  let running: Promise<void> = Promise.resolve();

  const wake = (): void => {
    rung = true;
    ring();
  };
  const patient = (): boolean => link.state === 'parked' || link.state === 'down' || link.state === 'quiet';
  const changed = (): void => {
    // A flow that is refused, cut off or resting is not woken by more of the same.
    if (spec.direction !== 'down' && !patient()) wake();
  };
  const passes = (key: string, value: SideRecord | undefined): boolean => {
    if (filter === undefined || value === undefined) return true;
    try {
      return filter.match({ id: key, key, data: JSON.parse(value.text) }) !== undefined;
    } catch (error) {
      log.debug(`${name}: the filter does not fit key ${key}: ${errorText(error)}`);
      return false;
    }
  };
  const tellConflict = ({ key, rule, conflict }: ConflictFacts): void => {
    metrics.count('sync_conflicts_total', { flow: name, kept: conflict.kept });
    const fields = conflict.fields === undefined ? {} : { fields: conflict.fields.map(({ path }) => path) };
    log.warn(`Sync ${name}: both sides changed ${key}; kept: ${conflict.kept}`, { key, rule, ...fields });
  };

  const opened = async (): Promise<Open> => {
    if (open !== undefined) return open;
    const nearComponent = components.get('state', spec.local);
    const farComponent = components.get('state', spec.remote);
    if (nearComponent === undefined) throw new Error(`there is no state store ${spec.local}`);
    if (farComponent === undefined) throw new Error(`there is no state store ${spec.remote}`);
    const near = openSide(nearComponent, parts.appId, parts.namespace);
    const far = openSide(farComponent, parts.appId, parts.namespace);
    const journal = await nearComponent.instance.journal?.({
      owner: origin,
      keys: spec.keys.map(({ local }) => near.toStored(local)),
      prefixes: spec.prefixes.map(({ local }) => near.toStored(local)),
      migrations: [RECORD_MIGRATION],
      changed,
    });
    if (journal === undefined)
      throw new Error(`state store ${spec.local} keeps no journal of its changes: expected state.sqlite`);
    const signature = JSON.stringify([spec.remote, spec.direction, spec.keys, spec.prefixes, spec.journal]);
    const record = await openRecord(journal, origin, signature);
    const exchange = new StateExchange({
      spec,
      origin,
      headKey: `skerry-sync.${spec.journal === '' ? `${parts.appId}.${name}.${parts.nodeMark}` : spec.journal}`,
      names,
      near,
      far,
      journal,
      record,
      limiter,
      ids: parts.ids,
      clock,
      passes,
      inTurn: (work) => parts.turns.run(spec.remote, spec.priority, work),
      carried: (way, messages, bytes) => parts.usage.add(name, way, messages, bytes),
      conflict: tellConflict,
      note: (text) => log.warn(`Sync ${name}: ${text}`),
    });
    open = { exchange, journal, record, near };
    return open;
  };
  const shut = (): void => {
    open?.journal.close();
    open = undefined;
  };

  const tellAll = async ({ record }: Open): Promise<void> => {
    for (const { id, event } of record.conflicts()) {
      if (conflictTopic !== undefined) {
        const data = ownEvent({
          id,
          type: CONFLICT_TYPE,
          source: parts.appId,
          target: conflictTopic,
          data: event,
        });
        const message = { topic: conflictTopic.topic, data, contentType: FORWARDED_TYPE, metadata: {} };
        await parts.publish.publishRaw(conflictTopic.pubsub, message, closing);
      }
      await record.write([record.steps.told(id)]);
    }
  };

  /** Another flow found the other side there again: no pause is sat out. */
  const back = (): void => {
    if (link.state !== 'down') return;
    asked = true;
    wake();
  };
  parts.returns.on(spec.remote, back);

  /** Takes turns until nothing is left; true when the other side was there. */
  const drain = async ({ exchange }: Open): Promise<boolean> => {
    let pull = pulls && clock.monotonicMs() >= pullAt;
    const pulled = pull;
    let contact = false;
    for (let more = true; more && !closing.aborted; ) {
      const result = await exchange.turn({ pull, again }, closing);
      again = false;
      more = result.more;
      contact ||= result.contact;
      // A journal is read on until its end.
      pull &&= more && spec.journal !== '';
    }
    if (pulled) pullAt = clock.monotonicMs() + spec.pollMs;
    return contact;
  };

  const worked = (): void => {
    const wasDown = link.state === 'down';
    link.worked(clock.now());
    if (wasDown) parts.returns.tell(spec.remote);
  };

  /** Works until nothing is left; how long to wait then. */
  const attempt = async (): Promise<number> => {
    const rest = limiter.closed();
    if (rest !== undefined) {
      link.resting(rest.reason);
      return rest.forMs;
    }
    try {
      const now = await opened();
      if (await drain(now)) worked();
      races = 0;
      await tellAll(now);
      return pulls ? Math.min(LOCAL_CHECK_MS, Math.max(1, pullAt - clock.monotonicMs())) : LOCAL_CHECK_MS;
    } catch (error) {
      return closing.aborted || stopped ? 0 : restAfter(error);
    }
  };
  /** Somebody else wrote in between: soon again. Everything else is a failure. */
  const restAfter = (error: unknown): number => {
    if (!(error instanceof EtagError) || races >= MOST_RACES) return failed(error);
    races += 1;
    return Math.ceil(RACE_MS * (0.1 + parts.random.float()));
  };
  const failed = (error: unknown): number => {
    const before = link.state;
    link.failed(error, clock.now());
    if (link.state !== before) log.warn(`Sync ${name} is ${link.state}: ${errorText(error)}`);
    // What changed over there meanwhile is asked for first.
    pullAt = 0;
    if (link.state === 'down') return OUTAGE_MS * (0.5 + parts.random.float());
    return link.state === 'parked' ? PARKED_MS : RETRY_MS;
  };
  const sleep = (ms: number): Promise<void> => {
    if (rung || stopped || closing.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      ring = resolve;
      timer = clock.startTimer(ms, resolve, true);
    });
  };
  const run = async (): Promise<void> => {
    while (!closing.aborted && !stopped) {
      rung = false;
      asked = false;
      const ms = await attempt();
      // Only who asks for it shortens the rest of a flow that is refused or cut off.
      if (patient()) rung = asked;
      await sleep(ms);
      timer?.cancel();
      if (rung && !patient()) await clock.sleep(LINGER_MS, closing).catch(() => undefined);
    }
  };
  const begin = (): void => {
    closing.addEventListener('abort', wake, { once: true });
    running = run().catch((error) => log.error(`Sync ${name} has stopped: ${errorText(error)}`));
  };

  return {
    name,
    start: async () => {
      // The changes of the app's very first request are noted already.
      await opened().catch((error) => failed(error));
      begin();
    },
    appReady: async () => undefined,
    componentChanged: (category, component) => {
      if (category !== 'state' || (component !== spec.local && component !== spec.remote)) return;
      shut();
      wake();
    },
    wake: () => {
      again = true;
      asked = true;
      pullAt = 0;
      wake();
    },
    status: async () => {
      const lag = open === undefined ? NO_LAG : await lagOf(open, names.toRemote, origin, closing);
      return flowStatus({
        name,
        spec,
        local: spec.local,
        remote: spec.remote,
        link: link.state,
        reason: link.reason,
        lastContact: link.lastContact,
        lag,
        conflicts: open?.record.read().conflicts ?? 0,
        refused: open?.record.refused().length ?? 0,
        parts,
      });
    },
    close: async () => {
      stopped = true;
      wake();
      await running;
      await limiter.close();
      shut();
    },
  };
}

const NO_LAG = { messages: 0, bytes: 0, oldest: undefined };

/** What waits here; bytes beyond the first keys are taken to be like those. */
async function lagOf(
  { journal, record, near }: Open,
  toRemote: (key: string) => string | undefined,
  origin: string,
  signal: AbortSignal,
): Promise<{ messages: number; bytes: number; oldest: number | undefined }> {
  const waiting = journal
    .changes(record.read().sent, COUNTED)
    .filter((entry) => entry.origin !== origin && toRemote(near.fromStored(entry.key)) !== undefined);
  const measured = waiting.slice(0, MEASURED).map(({ key }) => near.fromStored(key));
  let bytes = 0;
  for (const [key, value] of await near.read(measured, signal)) bytes += key.length + value.bytes.byteLength;
  return {
    messages: waiting.length,
    bytes: Math.round(bytes * Math.max(1, waiting.length / MEASURED)),
    oldest: waiting[0] === undefined ? undefined : stampMs(waiting[0].sequence),
  };
}
