/** Certificates in PEM. */

import { X509Certificate } from 'node:crypto';
import { errorText } from '../contracts/error.ts';

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const BEGIN = /-----BEGIN /g;

/** Every certificate of a text; throws when there is none, one cannot be read, or something else is among them. */
export function parseCertificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(BLOCK) ?? [];
  if (blocks.length === 0) throw new Error('there is no certificate in PEM');
  if (pem.match(BEGIN)?.length !== blocks.length) throw new Error('there is more than certificates in PEM');
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new Error(`certificate ${index + 1} cannot be read: ${errorText(cause)}`, { cause });
    }
  });
}
