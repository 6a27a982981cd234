/**
 * MQTT topic names and topic filters (MQTT 3.1.1, section 4.7): what may be published to, what may be subscribed,
 * and whether a filter covers a name. Pure functions, shared by the broker and the MQTT components.
 */

const SHARE_PREFIX = '$share/';
const MAX_BYTES = 65_535;

/** The parts of `$share/<group>/<filter>`, or `undefined` for an ordinary filter. */
export function sharedFilter(
  filter: string,
): { readonly group: string; readonly filter: string } | undefined {
  if (!filter.startsWith(SHARE_PREFIX)) return undefined;
  const slash = filter.indexOf('/', SHARE_PREFIX.length);
  if (slash <= SHARE_PREFIX.length || slash === filter.length - 1) return undefined;
  return { group: filter.slice(SHARE_PREFIX.length, slash), filter: filter.slice(slash + 1) };
}

/** Why `topic` cannot be published to, or `undefined` when it can ([MQTT-3.3.2-2], [MQTT-4.7.3-1]). */
export function topicNameFault(topic: string): string | undefined {
  if (topic === '') return 'the topic is empty';
  if (topic.includes('#') || topic.includes('+')) {
    return `topic '${topic}' has a wildcard (# or +): wildcards are for subscriptions, publish to one topic`;
  }
  return textFault(topic);
}

/** Why `filter` cannot be subscribed, or `undefined` when it can ([MQTT-4.7.1-2], [MQTT-4.7.1-3]). */
export function topicFilterFault(filter: string): string | undefined {
  if (filter === '') return 'the topic is empty';
  const levels = (sharedFilter(filter)?.filter ?? filter).split('/');
  for (const [position, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || position !== levels.length - 1)) {
      return `topic '${filter}': # must be alone in the last level`;
    }
    if (level.includes('+') && level !== '+') return `topic '${filter}': + must be alone in its level`;
  }
  return textFault(filter);
}

/** Whether `filter` has a wildcard. */
export function hasWildcard(filter: string): boolean {
  return filter.includes('#') || filter.includes('+');
}

/** Whether `filter` (without `$share`) covers `topic`; wildcards at the start skip `$` topics ([MQTT-4.7.2-1]). */
export function filterMatches(filter: string, topic: string): boolean {
  if (!hasWildcard(filter)) return filter === topic;
  return matcher(filter)(topic);
}

/** `filterMatches` with the filter split once, for filters that are asked often. */
export function matcher(filter: string): (topic: string) => boolean {
  if (!hasWildcard(filter)) return (topic) => topic === filter;
  const pattern = filter.split('/');
  return (topic) => {
    if (topic.startsWith('$') && !filter.startsWith('$')) return false;
    const levels = topic.split('/');
    for (const [position, wanted] of pattern.entries()) {
      if (wanted === '#') return true;
      const level = levels[position];
      // `a/#` covers `a` itself: everything before the # matched and the name ends here.
      if (level === undefined || (wanted !== '+' && wanted !== level)) return false;
    }
    return levels.length === pattern.length;
  };
}

function textFault(text: string): string | undefined {
  if (text.includes('\u0000')) return 'the topic has a null character';
  return Buffer.byteLength(text) > MAX_BYTES ? `the topic is longer than ${MAX_BYTES} bytes` : undefined;
}
