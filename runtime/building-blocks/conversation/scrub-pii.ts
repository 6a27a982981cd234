/**
 * Hides what looks like personal data before it leaves for a model, and in what comes back: mail and IP addresses,
 * phone, card, account and social security numbers. Patterns find forms, not meaning; they are no guarantee.
 */

/** Patterns, each with the word that stands for what it finds; the words are Dapr's. */
const PATTERNS: readonly (readonly [string, RegExp])[] = [
  ['EMAIL_ADDRESS', /[\w!#$%&'*+/=?^{|}~.-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z0-9-]{1,63}/gi],
  ['IBAN', /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b/g],
  ['CREDIT_CARD', /\b(?:\d{4}[- ]?){3}\d{4}\b|\b\d{15,16}\b/g],
  ['US_SSN', /\b\d{3}-\d{2}-\d{4}\b/g],
  ['MAC_ADDRESS', /\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b/gi],
  ['IP', /\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b/g],
  ['IP', /(?:[0-9a-f]{1,4}:){3,7}(?::?[0-9a-f]{1,4})/gi],
  ['PHONE_NUMBER', /(?:\+\d{1,3}[ .-]?)?\(?\b\d{2,4}\)?[ .-]\d{3,4}[ .-]?\d{3,4}\b|\+\d{8,14}\b/g],
];

/** `text` with a word such as `<EMAIL_ADDRESS>` in place of what was found. */
export function scrubPii(text: string): string {
  return PATTERNS.reduce((scrubbed, [entity, pattern]) => scrubbed.replace(pattern, `<${entity}>`), text);
}
