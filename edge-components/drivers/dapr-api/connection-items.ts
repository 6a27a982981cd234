/** Metadata items that say where another Dapr sidecar is: shared by every component whose far side is one. */

import { z } from 'zod';
import { duration, optionalText, text } from '../../../runtime/contracts/metadata.ts';
import { RELAY_URL } from '../../../runtime/contracts/relayed-sidecar.ts';

const url = z
  .string()
  .optional()
  .refine(
    (value) =>
      value === undefined || RELAY_URL.test(value) || (URL.canParse(value) && /^https?:/i.test(value)),
    'expected an http or https URL such as http://cloud:3500, or relay: for the sidecar beside the relay',
  );

/** Spread into a component's own schema; `endpointName` or `baseUrl` must be given (`createFarSidecar` says so). */
export const connectionItems = {
  endpointName: text(''),
  baseUrl: url,
  apiToken: optionalText(),
  remoteName: text(''),
  timeout: duration(10_000),
  caCert: optionalText(),
  clientCert: optionalText(),
  clientKey: optionalText(),
};

export interface ConnectionItems {
  /** Name of an `HTTPEndpoint` resource. */
  readonly endpointName: string;
  readonly baseUrl?: string | undefined;
  readonly apiToken?: string | undefined;
  /** Name of the component over there; empty: the same name as here. */
  readonly remoteName: string;
  /** Longest wait for one answer, milliseconds. */
  readonly timeout: number;
  readonly caCert?: string | undefined;
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
}
