/**
 * DNS records of a sidecar as Dapr publishes and expects them (gRPC reference, section 6.1): the service is the bare app
 * id under `local`, the instance `<host>:<pid>`, TXT exactly the app id, and the resolver wants all of it in one packet.
 */

import { isIPv6 } from 'node:net';
import type { Answer } from 'dns-packet';
import type { MdnsPacket } from '../../drivers/mdns/multicast-socket.ts';

const SERVICE_TTL_S = 3200;
const ADDRESS_TTL_S = 120;
const SERVICES = '_services._dns-sd._udp.local';
/** dns-packet takes the lower 15 bits as class and this as the cache-flush bit. */
const UNIQUE = { class: 'IN', flush: true } as const;

export interface ServiceRecord {
  readonly appId: string;
  readonly hostName: string;
  readonly pid: number;
  readonly address: string;
  readonly port: number;
}

export function serviceName(appId: string): string {
  return `${appId}.local`;
}

function instanceName(record: ServiceRecord): string {
  return `${record.hostName}:${record.pid}.${serviceName(record.appId)}`;
}

function pointer(record: ServiceRecord, ttl: number): Answer {
  return { type: 'PTR', name: serviceName(record.appId), ttl, data: instanceName(record) };
}

function details(record: ServiceRecord, ttl: number): Answer[] {
  const name = instanceName(record);
  const host = record.hostName.endsWith('.local') ? record.hostName : `${record.hostName}.local`;
  return [
    { type: 'SRV', name, ttl, ...UNIQUE, data: { port: record.port, target: host, priority: 0, weight: 0 } },
    { type: 'TXT', name, ttl, ...UNIQUE, data: [record.appId] },
    {
      type: isIPv6(record.address) ? 'AAAA' : 'A',
      name: host,
      ttl: Math.min(ttl, ADDRESS_TTL_S),
      ...UNIQUE,
      data: record.address,
    },
  ];
}

/** What tells everybody about a sidecar. */
export function announcement(record: ServiceRecord): MdnsPacket {
  return response([pointer(record, SERVICE_TTL_S), ...details(record, SERVICE_TTL_S)], []);
}

/** What takes it back. Host addresses stay: other sidecars of the machine have the same. */
export function goodbye(record: ServiceRecord): MdnsPacket {
  return response(
    [
      pointer(record, 0),
      ...details(record, 0).filter((answer) => answer.type === 'SRV' || answer.type === 'TXT'),
    ],
    [],
  );
}

/** The question for all sidecars of an app. */
export function browseQuery(appId: string): MdnsPacket {
  return {
    type: 'query',
    questions: [{ type: 'PTR', name: serviceName(appId), class: 'IN' }],
    answers: [],
    additionals: [],
  };
}

/** Answer of one sidecar to a query, or `undefined` when it asks for something else or knows the answer already. */
export function answerTo(query: MdnsPacket, record: ServiceRecord): MdnsPacket | undefined {
  const service = serviceName(record.appId).toLowerCase();
  const instance = instanceName(record).toLowerCase();
  for (const question of query.questions) {
    const name = question.name.toLowerCase();
    if (name === service && (question.type === 'PTR' || (question.type as string) === 'ANY')) {
      return knows(query, record)
        ? undefined
        : response([pointer(record, SERVICE_TTL_S)], details(record, SERVICE_TTL_S));
    }
    if (name === instance)
      return response([...details(record, SERVICE_TTL_S), pointer(record, SERVICE_TTL_S)], []);
    if (name === SERVICES && question.type === 'PTR') {
      return response(
        [{ type: 'PTR', name: SERVICES, ttl: SERVICE_TTL_S, data: serviceName(record.appId) }],
        [],
      );
    }
  }
  return undefined;
}

/** Known-answer suppression (RFC 6762, 7.1). */
function knows(query: MdnsPacket, record: ServiceRecord): boolean {
  const instance = instanceName(record).toLowerCase();
  return query.answers.some(
    (answer) =>
      answer.type === 'PTR' &&
      String(answer.data).toLowerCase() === instance &&
      (answer.ttl ?? 0) >= SERVICE_TTL_S / 2,
  );
}

function response(answers: Answer[], additionals: Answer[]): MdnsPacket {
  return { type: 'response', questions: [], answers, additionals };
}

export interface FoundAddress {
  readonly appId: string;
  /** `host:port`, IPv6 in brackets. */
  readonly address: string;
  readonly family: 4 | 6;
  /** The sidecar said goodbye. */
  readonly gone: boolean;
}

/** Sidecars of `appId` in a response: PTR, SRV, TXT and an address must be in this one packet. */
export function findAddresses(packet: MdnsPacket, appId: string): FoundAddress[] {
  const service = serviceName(appId).toLowerCase();
  const all = [...packet.answers, ...packet.additionals];
  const found: FoundAddress[] = [];
  for (const answer of all) {
    if (answer.type !== 'PTR' || answer.name.toLowerCase() !== service) continue;
    const instance = String(answer.data).toLowerCase();
    const srv = all.find(
      (candidate) => candidate.type === 'SRV' && candidate.name.toLowerCase() === instance,
    );
    if (srv?.type !== 'SRV') continue;
    const txt = all.find(
      (candidate) => candidate.type === 'TXT' && candidate.name.toLowerCase() === instance,
    );
    if (txt?.type !== 'TXT' || textOf(txt.data) !== appId) continue;
    found.push(...addressesOf(all, appId, srv.data, answer.ttl === 0));
  }
  return found;
}

function addressesOf(
  all: readonly Answer[],
  appId: string,
  srv: { readonly port?: number | undefined; readonly target: string },
  gone: boolean,
): FoundAddress[] {
  const target = srv.target.toLowerCase();
  const host = (type: 'A' | 'AAAA'): string | undefined => {
    const record = all.find(
      (candidate) => candidate.type === type && candidate.name.toLowerCase() === target,
    );
    return record === undefined ? undefined : String((record as { data: unknown }).data);
  };
  const v4 = host('A');
  const v6 = host('AAAA');
  const found: FoundAddress[] = [];
  if (v4 !== undefined) found.push({ appId, address: `${v4}:${srv.port ?? 0}`, family: 4, gone });
  if (v6 !== undefined) found.push({ appId, address: `[${v6}]:${srv.port ?? 0}`, family: 6, gone });
  return found;
}

/** The ports of an app whose sidecars say goodbye, for packets that no longer carry an address. */
export function goodbyePorts(packet: MdnsPacket, appId: string): number[] {
  const service = serviceName(appId).toLowerCase();
  const all = [...packet.answers, ...packet.additionals];
  return all.flatMap((answer) => {
    if (answer.type !== 'PTR' || answer.ttl !== 0 || answer.name.toLowerCase() !== service) return [];
    const instance = String(answer.data).toLowerCase();
    const srv = all.find(
      (candidate) => candidate.type === 'SRV' && candidate.name.toLowerCase() === instance,
    );
    return srv?.type === 'SRV' && srv.data.port !== undefined ? [srv.data.port] : [];
  });
}

function textOf(data: unknown): string {
  const parts = Array.isArray(data) ? data : [data];
  const [first] = parts;
  return parts.length === 1 ? String(first) : parts.map(String).join('\n');
}
