/** The flags of a node's link to its relay. */

export interface RelayLinkOptions {
  /** No link, although the data folder is enrolled. */
  readonly off: boolean;
  readonly probeMs: number;
  readonly probeTimeoutMs: number;
  readonly maxMessageBytes: number;
}

const MIN_PROBE_MS = 100;

/** The options, or what is wrong with a flag. */
export function relayLinkOptions(
  flags: { text(name: string): string; ms(name: string): number },
  maxMessageBytes: number,
): RelayLinkOptions | string {
  const relay = flags.text('relay');
  if (relay !== 'on' && relay !== 'off') return `invalid argument "${relay}" for --relay: expected on or off`;
  for (const name of ['relay-probe-interval', 'relay-probe-timeout']) {
    if (flags.ms(name) < MIN_PROBE_MS)
      return `invalid argument "${flags.text(name)}" for --${name}: expected 100ms or more`;
  }
  return {
    off: relay === 'off',
    probeMs: flags.ms('relay-probe-interval'),
    probeTimeoutMs: flags.ms('relay-probe-timeout'),
    maxMessageBytes,
  };
}
