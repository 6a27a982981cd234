/** Client TLS of an HTTP binding: PEM texts or files, checked before the first call needs them. */

import { constants } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { ClientTls } from '../../drivers/http/request.ts';
import type { HttpBindingMetadata } from './metadata.ts';

type Items = Pick<
  HttpBindingMetadata,
  'MTLSRootCA' | 'MTLSClientCert' | 'MTLSClientKey' | 'MTLSRenegotiation'
>;

/** Reads and checks the TLS items; rejects with the name of the item at fault. */
export async function readClientTls(items: Items): Promise<ClientTls> {
  const ca = await pemOf('MTLSRootCA', items.MTLSRootCA);
  const cert = await pemOf('MTLSClientCert', items.MTLSClientCert);
  const key = await pemOf('MTLSClientKey', items.MTLSClientKey);
  // A certificate without its key says nothing about the client, and the other way round: both or none, as in Dapr.
  const pair = cert === undefined || key === undefined ? {} : { cert, key };
  const tls: ClientTls = { ...(ca === undefined ? {} : { ca }), ...pair };
  try {
    createSecureContext(tls);
  } catch (error) {
    const names =
      ca === undefined ? 'MTLSClientCert, MTLSClientKey' : 'MTLSRootCA, MTLSClientCert, MTLSClientKey';
    throw new Error(`metadata items ${names}: ${errorText(error)}`);
  }
  return items.MTLSRenegotiation === 'RenegotiateNever'
    ? { ...tls, secureOptions: constants.SSL_OP_NO_RENEGOTIATION }
    : tls;
}

/** A PEM text as it is; anything else is the path of a PEM file. */
async function pemOf(item: string, value: string | undefined): Promise<string | undefined> {
  if (value === undefined || value === '') return undefined;
  if (value.includes('-----BEGIN ')) return value;
  const text = await readFile(value, 'utf8').catch((error: Error) => {
    throw new Error(`metadata item '${item}': neither a PEM text nor a readable file: ${error.message}`);
  });
  if (!text.includes('-----BEGIN ')) throw new Error(`metadata item '${item}': ${value} holds no PEM block`);
  return text;
}
