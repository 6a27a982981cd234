/** A small load generator: closed loop (N connections as fast as they go) and open loop (a fixed rate, late starts count). */

import { Agent, request } from 'node:http';

export interface Load {
  readonly port: number;
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly connections: number;
  readonly seconds: number;
  /** Requests per second over all connections; absent: as fast as they go. */
  readonly rate?: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly failed: number;
}

function once(load: Load, agent: Agent): Promise<boolean> {
  return new Promise((resolve) => {
    const headers =
      load.body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': load.body.length };
    const outgoing = request(
      { host: '127.0.0.1', port: load.port, method: load.method, path: load.path, headers, agent },
      (response) => {
        response.resume();
        response.once('end', () => resolve((response.statusCode ?? 500) < 300));
        response.once('error', () => resolve(false));
      },
    );
    outgoing.once('error', () => resolve(false));
    outgoing.end(load.body);
  });
}

const at = (sorted: readonly number[], share: number): number =>
  Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(2));

/** Runs the load; latencies in milliseconds, in open loop counted from when a request was due. */
export async function run(load: Load): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections });
  const latencies: number[] = [];
  let failed = 0;
  const start = performance.now();
  const end = start + load.seconds * 1000;
  const gap = load.rate === undefined ? 0 : (load.connections * 1000) / load.rate;
  const connection = async (index: number): Promise<void> => {
    let due = start + (gap * index) / load.connections;
    for (;;) {
      if (gap > 0) {
        const wait = due - performance.now();
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      } else due = performance.now();
      if (performance.now() >= end) return;
      // A timer may fire a little early: what counts is the later wish or the earlier start.
      const from = Math.min(due, performance.now());
      if (!(await once(load, agent))) failed += 1;
      latencies.push(performance.now() - from);
      due += gap;
    }
  };
  await Promise.all(Array.from({ length: load.connections }, (_, index) => connection(index)));
  const seconds = (performance.now() - start) / 1000;
  agent.destroy();
  latencies.sort((a, b) => a - b);
  return {
    perSecond: Math.round(latencies.length / seconds),
    p50: at(latencies, 0.5),
    p90: at(latencies, 0.9),
    p99: at(latencies, 0.99),
    failed,
  };
}
