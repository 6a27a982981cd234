/** A span that has ended, for tests of the exporters. */

import type { FinishedSpan } from '../../../runtime/contracts/trace.ts';

export function finishedSpan(over: Partial<FinishedSpan> = {}): FinishedSpan {
  return {
    name: '/v1.0/state/store/k',
    kind: 'client',
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: 'a69268b776cf5872',
    parentSpanId: '00f067aa0ba902b7',
    traceState: '',
    flags: 1,
    startMs: 1_795_516_063_808.479,
    endMs: 1_795_516_063_808.874,
    attributes: { 'dapr.protocol': 'http', 'db.name': 'store', 'server.address': '127.0.0.1' },
    ...over,
  };
}
