/**
 * SPIFFE ids: the names in the certificates of a mesh (SPIFFE-ID, section 2; X509-SVID, sections 2 and 4). Dapr names a
 * sidecar `spiffe://<trust domain>/ns/<namespace>/<app id>`.
 */

/** A valid SPIFFE id. */
export interface SpiffeId {
  readonly trustDomain: string;
  /** With its leading slash; empty for the trust domain itself. */
  readonly path: string;
  /** `spiffe://<trust domain><path>` */
  readonly text: string;
  /** Who that is in Dapr's terms; `undefined` for a path of another form. */
  readonly workload: Workload | undefined;
}

/** An app of a namespace. */
export interface Workload {
  readonly namespace: string;
  readonly appId: string;
}

/** The members of a certificate that its SPIFFE id is read from. */
export interface CertificateNames {
  /** As Node prints it: `URI:spiffe://..., DNS:...`, unusual values as JSON strings. */
  readonly subjectAltName?: string | undefined;
  readonly ca: boolean;
}

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;
const MAX_ID_BYTES = 2048;
const NAME = /([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",][^,]*|)(?:, |$)/y;

/** Whether `text` may be a trust domain. */
export function isTrustDomain(text: string): boolean {
  return TRUST_DOMAIN.test(text);
}

/** Throws with what is wrong. */
export function parseSpiffeId(text: string): SpiffeId {
  if (!text.startsWith('spiffe://') || text.length > MAX_ID_BYTES) {
    throw new Error(`${JSON.stringify(text.slice(0, 200))} is no SPIFFE id`);
  }
  const slash = text.indexOf('/', 'spiffe://'.length);
  const trustDomain = text.slice('spiffe://'.length, slash < 0 ? undefined : slash);
  const path = slash < 0 ? '' : text.slice(slash);
  const segments = path === '' ? [] : path.slice(1).split('/');
  const bad = segments.some((segment) => !SEGMENT.test(segment) || segment === '.' || segment === '..');
  if (!TRUST_DOMAIN.test(trustDomain) || bad) throw new Error(`${JSON.stringify(text)} is no SPIFFE id`);
  return { trustDomain, path, text, workload: workloadOf(segments) };
}

/** More segments may follow, as Dapr allows. */
function workloadOf([ns, namespace, appId]: readonly string[]): Workload | undefined {
  return ns !== 'ns' || namespace === undefined || appId === undefined ? undefined : { namespace, appId };
}

/** Path of an app's SPIFFE id. */
export function workloadPath({ namespace, appId }: Workload): string {
  return `/ns/${namespace}/${appId}`;
}

/** The SPIFFE id of an end-entity certificate, which has exactly one URI among its names. Throws with what is wrong. */
export function spiffeIdOfCertificate({ subjectAltName, ca }: CertificateNames): SpiffeId {
  if (ca) throw new Error('the certificate is that of an authority, not of a workload');
  const uris = uriNames(subjectAltName ?? '');
  const [uri] = uris;
  if (uri === undefined) throw new Error('the certificate names no SPIFFE id');
  if (uris.length > 1) throw new Error('the certificate names more than one URI');
  return parseSpiffeId(uri);
}

/** A quoted value is never taken apart, so that a name cannot pose as another. */
function uriNames(names: string): readonly string[] {
  const uris: string[] = [];
  NAME.lastIndex = 0;
  while (NAME.lastIndex < names.length) {
    const match = NAME.exec(names);
    if (match === null) throw new Error('the names of the certificate cannot be read');
    const value = match[2] ?? '';
    if (match[1] === 'URI') uris.push(value.startsWith('"') ? String(JSON.parse(value)) : value);
  }
  return uris;
}
