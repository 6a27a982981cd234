/**
 * The writer thread. It takes everything that waits on its port, applies it database by database with one commit
 * each, and answers all of it in one message: while one fsync runs the next group gathers, so no timer is needed.
 */

import {
  isMainThread,
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from 'node:worker_threads';
import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import { failureRecord } from './database-errors.ts';
import { openChecked } from './open-checked.ts';
import type { WriteConnection } from './write-connection.ts';
import { WRITER_ROLE, type WriterAnswer, type WriterMessage, type WriterRequest } from './writer-protocol.ts';

/** Writes per commit, so that the first of a long line is not answered last. */
const MAX_GROUP = 512;

/** Space is given back this long after the last request, in steps this far apart. */
const QUIET_MS = 3000;
const BETWEEN_MS = 50;

type Write = Extract<WriterRequest, { kind: 'write' }>;

/** Whether this thread was started as the writer: then call `runWriterWorker` and nothing else. */
export function isWriterThread(): boolean {
  return !isMainThread && (workerData as { role?: unknown } | null)?.role === WRITER_ROLE;
}

/** Serves the port of this thread until told to stop. */
export function runWriterWorker(clock: Clock): void {
  if (parentPort === null) throw new Error('the writer runs in a worker thread only');
  const port = parentPort;
  const connections = new Map<number, WriteConnection>();
  const quiet = whenQuiet(clock, () => [...connections.values()].map((one) => giveBack(one)).includes(true));
  port.on('message', (first: WriterMessage) => {
    quiet.busy();
    const { requests, stop } = takeAll(port, first);
    for (let from = 0; from < requests.length; from += MAX_GROUP) {
      port.postMessage(serve(connections, requests.slice(from, from + MAX_GROUP)));
    }
    if (stop) {
      quiet.stop();
      for (const connection of connections.values()) connection.close();
      connections.clear();
      port.close();
    }
  });
}

/** A full disk or a busy file: there will be another time. */
function giveBack(connection: WriteConnection): boolean {
  try {
    return connection.giveBack();
  } catch {
    return false;
  }
}

/** Runs `work` a while after the last request, again and again while it says that there is more to do. */
function whenQuiet(clock: Clock, work: () => boolean): { busy(): void; stop(): void } {
  let timer: Timer | undefined;
  let last = 0;
  const arm = (delayMs: number): void => {
    timer ??= clock.startTimer(delayMs, run, true);
  };
  const run = (): void => {
    timer = undefined;
    const left = last + QUIET_MS - clock.monotonicMs();
    if (left > 0) arm(left);
    else if (work()) arm(BETWEEN_MS);
  };
  return {
    busy: () => {
      last = clock.monotonicMs();
      arm(QUIET_MS);
    },
    stop: () => timer?.cancel(),
  };
}

function takeAll(port: MessagePort, first: WriterMessage): { requests: WriterRequest[]; stop: boolean } {
  const requests: WriterRequest[] = [];
  for (let message: WriterMessage | undefined = first; message !== undefined; ) {
    if (message === 'stop') return { requests, stop: true };
    requests.push(...message);
    message = (receiveMessageOnPort(port) as { message: WriterMessage } | undefined)?.message;
  }
  return { requests, stop: false };
}

/** Answers a list of requests; the order of requests to one database is kept. */
function serve(
  connections: Map<number, WriteConnection>,
  requests: readonly WriterRequest[],
): WriterAnswer[] {
  const answers: WriterAnswer[] = [];
  const groups = new Map<number, Write[]>();
  const commit = (database: number): void => {
    const group = groups.get(database);
    if (group === undefined) return;
    groups.delete(database);
    commitGroup(connections.get(database), group, answers);
  };
  for (const request of requests) {
    if (request.kind === 'write') {
      const group = groups.get(request.database);
      if (group === undefined) groups.set(request.database, [request]);
      else group.push(request);
      continue;
    }
    commit(request.database);
    answers.push(serveOther(connections, request));
  }
  for (const database of [...groups.keys()]) commit(database);
  return answers;
}

function commitGroup(
  connection: WriteConnection | undefined,
  group: readonly Write[],
  answers: WriterAnswer[],
): void {
  if (connection === undefined) {
    const failure = { code: 'SKERRY_CLOSED', message: 'the database is closed' };
    for (const { id } of group) answers.push({ id, outcome: { failure } });
    return;
  }
  const outcomes = connection.apply(group.map(({ steps }) => steps));
  for (let index = 0; index < group.length; index += 1) {
    answers.push({ id: (group[index] as Write).id, outcome: outcomes[index] ?? [] });
  }
}

function serveOther(
  connections: Map<number, WriteConnection>,
  request: Exclude<WriterRequest, Write>,
): WriterAnswer {
  try {
    switch (request.kind) {
      case 'open': {
        const { connection, report } = openChecked(request.options);
        connections.set(request.database, connection);
        if (report === undefined) break;
        return { id: request.id, outcome: [{ changes: 0, rows: [{ report: JSON.stringify(report) }] }] };
      }
      case 'migrate':
        connections.get(request.database)?.migrate(request.migrations);
        break;
      case 'close':
        connections.get(request.database)?.close();
        connections.delete(request.database);
        break;
    }
    return { id: request.id, outcome: [] };
  } catch (error) {
    return { id: request.id, outcome: { failure: failureRecord(error) } };
  }
}
