/** What a client did against the protocol, with the reason code MQTT 5 has for it (MQTT 5, section 2.4). */

/** Reason codes the broker sends. */
export const REASON = {
  success: 0x00,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reAuthenticate: 0x19,
  unspecified: 0x80,
  malformed: 0x81,
  protocolError: 0x82,
  implementationSpecific: 0x83,
  badUserOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  keepAliveTimeout: 0x8d,
  badAuthenticationMethod: 0x8c,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdInUse: 0x91,
  packetIdNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
} as const;

/** Ends the connection; an MQTT 5 client is told `reasonCode` first ([MQTT-4.13.1-1]). */
export class ProtocolFault extends Error {
  override readonly name = 'ProtocolFault';
  readonly reasonCode: number;

  constructor(reasonCode: number, message: string) {
    super(message);
    this.reasonCode = reasonCode;
  }
}

/** A packet whose bytes cannot be read. */
export function malformed(what: string): ProtocolFault {
  return new ProtocolFault(REASON.malformed, `malformed packet: ${what}`);
}

/** A readable packet that is not allowed here. */
export function protocolError(what: string): ProtocolFault {
  return new ProtocolFault(REASON.protocolError, what);
}
