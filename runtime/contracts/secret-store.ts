/** A secret store component. */

import type { ComponentInstance } from './component.ts';

export interface SecretStore extends ComponentInstance {
  /** `MULTIPLE_KEY_VALUES_PER_SECRET` or nothing. */
  readonly features: readonly string[];
  /** Name to value; `undefined` when the store answers without data. Rejects when the secret does not exist (per store). */
  get(
    name: string,
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>> | undefined>;
  bulkGet(
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, Readonly<Record<string, string>>>> | undefined>;
}
