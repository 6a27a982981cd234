/**
 * Counters of service invocation (HTTP reference, section 23). Label objects are kept and passed again, because the
 * registry keeps the text of a series with the object.
 */

import type { Labels, Metrics } from '../../contracts/metrics.ts';
import type { SpiffeId } from '../../contracts/spiffe.ts';

export interface InvocationMetrics {
  /** A call left for `appId`. */
  requestSent(appId: string): void;
  /** Its answer came. */
  responseReceived(appId: string, status: number, elapsedMs: number): void;
  /** A proxied call that its caller marked as a stream left for `appId`. */
  streamSent(appId: string): void;
  /** A call of `appId` came in. */
  requestReceived(appId: string): void;
  /** It was answered. */
  responseSent(appId: string, status: number): void;
  /** A call of another sidecar was let in because nothing is said about access; without mTLS its caller is unknown. */
  accessAllowed(caller: SpiffeId | undefined): void;
}

const UNKNOWN_CALLER: Labels = Object.freeze({ app_id: '', namespace: '', trustDomain: '' });

const PREFIX = 'runtime_service_invocation_';
const MAX_KEPT = 2048;

/** Counts into `metrics`. */
export function createInvocationMetrics(metrics: Metrics): InvocationMetrics {
  const requests = kept((appId) => ({ dst_app_id: appId, type: 'unary' }));
  const streams = kept((appId) => ({ dst_app_id: appId, type: 'streaming' }));
  const answers = kept((appId, status) => ({ src_app_id: appId, status, type: 'unary' }));
  const latencies = kept((appId, status) => ({ src_app_id: appId, status }));
  const arrivals = kept((appId) => ({ src_app_id: appId }));
  const replies = kept((appId, status) => ({ dst_app_id: appId, status }));
  return {
    requestSent: (appId) => metrics.count(`${PREFIX}req_sent_total`, requests(appId, 0)),
    responseReceived: (appId, status, elapsedMs) => {
      metrics.count(`${PREFIX}res_recv_total`, answers(appId, status));
      metrics.observe(`${PREFIX}res_recv_latency_ms`, latencies(appId, status), elapsedMs);
    },
    streamSent: (appId) => metrics.count(`${PREFIX}req_sent_total`, streams(appId, 0)),
    requestReceived: (appId) => metrics.count(`${PREFIX}req_recv_total`, arrivals(appId, 0)),
    accessAllowed: (caller) =>
      metrics.count(
        'runtime_acl_global_policy_action_allowed_total',
        caller?.workload === undefined
          ? UNKNOWN_CALLER
          : {
              app_id: caller.workload.appId,
              namespace: caller.workload.namespace,
              trustDomain: caller.trustDomain,
            },
      ),
    responseSent: (appId, status) => metrics.count(`${PREFIX}res_sent_total`, replies(appId, status)),
  };
}

/** Labels by app id and status; beyond the bound they are made anew each time. */
function kept(make: (appId: string, status: string) => Labels): (appId: string, status: number) => Labels {
  const byApp = new Map<string, Map<number, Labels>>();
  let size = 0;
  return (appId, status) => {
    let labels = byApp.get(appId)?.get(status);
    if (labels !== undefined) return labels;
    labels = make(appId, String(status));
    if (size >= MAX_KEPT) return labels;
    size += 1;
    const ofApp = byApp.get(appId) ?? new Map<number, Labels>();
    byApp.set(appId, ofApp.set(status, labels));
    return labels;
  };
}
