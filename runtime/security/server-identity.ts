/** The client's half of a TLS handshake with a workload: its name is its SPIFFE id, never a host name. */

import { X509Certificate } from 'node:crypto';
import { errorText } from '../contracts/error.ts';
import type { DialTls } from '../contracts/mesh-security.ts';
import { type SpiffeId, spiffeIdOfCertificate } from '../contracts/spiffe.ts';

/** TLS options that accept only servers whose chain ends in the trust anchors and whose id is `expected`. */
export function verifiedBy(isExpected: (id: SpiffeId) => boolean): Omit<DialTls, 'secureContext'> {
  return {
    // Said here, because an environment variable can turn the default off.
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
    checkServerIdentity: (_host, certificate) => {
      try {
        const id = spiffeIdOfCertificate(new X509Certificate(certificate.raw));
        return isExpected(id) ? undefined : new Error(`unexpected SPIFFE ID: "${id.text}"`);
      } catch (cause) {
        return new Error(`the server has no SPIFFE id: ${errorText(cause)}`, { cause });
      }
    },
  };
}
