/**
 * Looks at packets before aedes does. A property that may occur once and occurs twice is a Protocol Error (MQTT 5.0,
 * section 2.2.2 and the property's own); the parser makes a list of it, and aedes would reckon with that list.
 */

import type { EventEmitter } from 'node:events';

/** A client of aedes as its constructor leaves it. */
interface CheckedClient {
  /** Not among the types of aedes. */
  readonly _parser: EventEmitter;
  disconnect(options: { readonly reasonCode: number }): void;
}

type Properties = Record<string, unknown>;

interface ParsedPacket {
  readonly properties?: Properties;
  readonly will?: { readonly properties?: Properties };
}

const PROTOCOL_ERROR = 0x82;

/** Ends the connection of `client` when it sends such a packet; `report` is told why. */
export function checkPackets(client: CheckedClient, report: (error: Error) => void): void {
  client._parser.prependListener('packet', (packet: ParsedPacket) => {
    const twice = [...takeRepeated(packet.properties), ...takeRepeated(packet.will?.properties)];
    if (twice.length === 0) return;
    report(new Error(`property ${twice.join(', ')} occurs more than once`));
    // The parser is in the middle of this packet, and aedes must not find its queue gone.
    setImmediate(() => client.disconnect({ reasonCode: PROTOCOL_ERROR }));
  });
}

/** Names of properties given more than once; they are removed. User properties are no list. */
function takeRepeated(properties: Properties | undefined): readonly string[] {
  if (properties === undefined) return [];
  const repeated = Object.keys(properties).filter((name) => Array.isArray(properties[name]));
  for (const name of repeated) delete properties[name];
  return repeated;
}
