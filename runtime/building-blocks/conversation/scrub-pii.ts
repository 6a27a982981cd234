/**
 * Masks what looks like personal data before it leaves for a model, and in what comes back: mail and IP addresses,
 * phone, card, account and social security numbers. Patterns find forms, not meaning; they are no guarantee.
 */

const PATTERNS: readonly RegExp[] = [
  /[\w!#$%&'*+/=?^{|}~.-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z0-9-]{1,63}/gi,
  /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b/g,
  /\b(?:\d{4}[- ]?){3}\d{4}\b/g,
  /\b\d{15,16}\b/g,
  /\b\d{3}-\d{2}-\d{4}\b/g,
  /\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b/g,
  /(?:[0-9a-f]{1,4}:){3,7}(?::?[0-9a-f]{1,4})/gi,
  /\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b/gi,
  /(?:\+\d{1,3}[ .-]?)?\(?\b\d{2,4}\)?[ .-]\d{3,4}[ .-]?\d{3,4}\b|\+\d{8,14}\b/g,
];

/** `text` with a star for every character of what was found. */
export function scrubPii(text: string): string {
  return PATTERNS.reduce(
    (scrubbed, pattern) => scrubbed.replace(pattern, (found) => '*'.repeat(found.length)),
    text,
  );
}
