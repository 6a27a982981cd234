/** Requests, answers and calls of service invocation, for tests. */

import type { Body, InvokeRequest, InvokeResponse } from '../../runtime/contracts/app-channel.ts';
import type { CallContext } from '../../runtime/contracts/call-context.ts';
import type { TraceContext } from '../../runtime/contracts/trace.ts';
import { recordingLogger } from './recording-logger.ts';

/** A body that is whole. */
export function wholeBody(text: string): Body {
  const bytes = Buffer.from(text);
  return {
    bytes,
    length: bytes.byteLength,
    async *stream() {
      if (bytes.byteLength > 0) yield bytes;
    },
  };
}

/** A body that streams these parts once. */
export function partsBody(...parts: string[]): Body {
  return {
    async *stream() {
      for (const part of parts) yield Buffer.from(part);
    },
  };
}

export function invokeRequest(given: Partial<InvokeRequest> = {}): InvokeRequest {
  return { method: 'x', verb: 'GET', query: '', headers: [], body: wholeBody(''), ...given };
}

export function invokeResponse(given: Partial<InvokeResponse> = {}): InvokeResponse {
  return { status: 200, grpc: false, headers: [], body: wholeBody(''), ...given };
}

export function callContext(
  trace: TraceContext = {},
  signal: AbortSignal = new AbortController().signal,
): CallContext {
  const span = { context: trace, child: () => span, setAttribute: () => {}, end: () => {} };
  return { signal, protocol: 'http', span, log: recordingLogger() };
}

export async function textOf(body: Body): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of body.stream()) parts.push(part);
  return Buffer.concat(parts).toString();
}
