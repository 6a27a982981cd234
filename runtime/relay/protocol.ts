/**
 * What travels on the one connection between a node and its relay (decision 0020). The node dials; on the TLS connection the
 * relay is the HTTP/2 client and the node the server, so a call to the node is a stream like any gRPC call. For the other
 * direction the relay keeps streams open that wait (`ACCEPT_PATH`): the node answers one of them with the head of its call and
 * sends the call as the answer's body; what the far app answers comes back as the request's body, in frames with a kind.
 */

import { z } from 'zod';
import type { HeaderList } from '../contracts/app-channel.ts';

/** ALPN of the link; anything else on that port is HTTPS. */
export const LINK_ALPN = 'skerry-relay/1';
export const CONTROL_PATH = '/skerry.relay.v1.Link/Control';
export const ACCEPT_PATH = '/skerry.relay.v1.Link/Accept';

/** Header fields of the link itself: never taken from a caller, never shown to a callee. */
export const LINK_PREFIX = 'skerry-link-';
export const CALLEE_FIELD = 'skerry-link-callee';
export const NAMESPACE_FIELD = 'skerry-link-namespace';
/** To a node: SPIFFE id of the caller as the relay knows it. To a relay: the app id that calls. */
export const CALLER_FIELD = 'skerry-link-caller';
export const PATH_FIELD = 'skerry-link-path';
export const TIMEOUT_FIELD = 'skerry-link-timeout';
/** How the messages of a call to the relay's sidecar are packed (`packing.ts`); absent: not at all. */
export const PACKING_FIELD = 'skerry-link-packing';

/** Calls that end at the sidecar beside the relay: one request of its HTTP API, and a streaming subscription. */
export const SIDECAR_HTTP_PATH = '/skerry.relay.v1.Sidecar/Http';
export const SIDECAR_SUBSCRIBE_PATH = '/skerry.relay.v1.Sidecar/Subscribe';
export const isForSidecar = (path: string): boolean => path.startsWith('/skerry.relay.v1.Sidecar/');

/** First byte of a message of an answer to a waiting stream. */
export const HEAD = 0;
export const DATA = 1;
export const END = 2;

/** A message of the control stream or the head of an answer; apps' messages have the limit of the sidecars. */
export const MAX_CONTROL_BYTES = 64 * 1024;
/** App ids of one node. */
export const MAX_APP_IDS = 256;
const MAX_NAME = 256;

const appIds = z.array(z.string().min(1).max(MAX_NAME)).max(MAX_APP_IDS);

export const nodeMessage = z.discriminatedUnion('type', [
  /** First word of a node: its apps, and how often the relay shall be heard on a silent link. */
  z.object({
    type: z.literal('hello'),
    apps: appIds,
    namespace: z.string().max(MAX_NAME),
    probeMs: z.number().int().min(100).max(86_400_000),
    version: z.string().max(64),
  }),
  z.object({ type: z.literal('apps'), apps: appIds }),
  z.object({
    type: z.literal('find'),
    n: z.number().int(),
    appId: z.string().max(MAX_NAME),
    namespace: z.string().max(MAX_NAME),
  }),
  z.object({ type: z.literal('renew'), request: z.string().max(8192) }),
]);
export type NodeMessage = z.infer<typeof nodeMessage>;

export const relayMessage = z.discriminatedUnion('type', [
  /** What the relay took of the announced apps, and what it refused. */
  z.object({
    type: z.literal('welcome'),
    node: z.string(),
    accepted: z.array(z.string()),
    refused: z.array(z.string()),
    /** The sidecar beside the relay that nodes may ask; absent where there is none. */
    sidecar: z
      .object({ http: z.boolean(), subscribe: z.boolean(), packings: z.array(z.string().max(64)).max(16) })
      .optional(),
  }),
  z.object({ type: z.literal('found'), n: z.number(), found: z.boolean() }),
  z.object({ type: z.literal('certificate'), chain: z.string() }),
  /** The last word: why the relay closes the link. */
  z.object({ type: z.literal('bye'), reason: z.string() }),
]);
export type RelayMessage = z.infer<typeof relayMessage>;

/** Of a relay's sidecar as its nodes see it. */
export type SidecarOffer = NonNullable<(RelayMessage & { type: 'welcome' })['sidecar']>;

/** Head and end of an answer on a waiting stream. */
export interface AnswerHead {
  readonly headers: HeaderList;
}
export interface AnswerEnd {
  readonly code: number;
  readonly message: string;
  /** base64 */
  readonly details?: string | undefined;
  readonly trailers: HeaderList;
}

/** `list` without the fields of the link. */
export function withoutLinkFields(list: HeaderList): HeaderList {
  return list.some(([name]) => name.toLowerCase().startsWith(LINK_PREFIX))
    ? list.filter(([name]) => !name.toLowerCase().startsWith(LINK_PREFIX))
    : list;
}

/** SPIFFE id of a node's certificate. */
export function nodeUri(trustDomain: string, node: string): string {
  return `spiffe://${trustDomain}/skerry/node/${node}`;
}

/** SPIFFE id of a relay's certificate towards other relays: no node can have it, since names of nodes have no slash. */
export function relayUri(trustDomain: string, id: string): string {
  return `spiffe://${trustDomain}${RELAY_PATH}${id}`;
}
const RELAY_PATH = '/skerry/relay/';
export const isRelayPath = (path: string): boolean => path.startsWith(RELAY_PATH);

/** Names that nodes may have: they end up in SPIFFE ids. */
export const NODE_NAME = /^[A-Za-z0-9._-]{1,128}$/;
