/** From the metadata of an MQTT component to a connection: URL schemes, credentials, TLS (components reference, 2.1). */

import { X509Certificate } from 'node:crypto';
import type { IClientOptions } from 'mqtt';
import { errorText } from '../../../runtime/contracts/error.ts';

export interface TlsMaterial {
  /** PEM texts; empty when not given. */
  readonly caCert: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

const PROTOCOL: Readonly<Record<string, 'mqtt' | 'mqtts' | 'ws' | 'wss'>> = {
  'mqtt:': 'mqtt',
  'tcp:': 'mqtt',
  'mqtts:': 'mqtts',
  'tcps:': 'mqtts',
  'tls:': 'mqtts',
  'ssl:': 'mqtts',
  'ws:': 'ws',
  'wss:': 'wss',
};
const DEFAULT_PORT = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 } as const;

/** MQTT.js options for `url`; refuses what is not an MQTT address or not PEM, naming the metadata item. */
export function clientOptions(url: string, tls: TlsMaterial): IClientOptions {
  if (!URL.canParse(url))
    throw new Error(
      `metadata item 'url': expected an address such as mqtt://host:1883, got '${hideUser(url)}'`,
    );
  const { protocol: scheme, hostname, port, username, password, pathname, search } = new URL(url);
  const protocol = PROTOCOL[scheme];
  if (protocol === undefined) {
    const known = Object.keys(PROTOCOL)
      .map((name) => `${name}//`)
      .join(', ');
    throw new Error(`metadata item 'url': scheme '${scheme}//' is not one of ${known}`);
  }
  if (hostname === '') throw new Error("metadata item 'url': the host is missing");
  const web = protocol === 'ws' || protocol === 'wss';
  return {
    protocol,
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? DEFAULT_PORT[protocol] : Number(port),
    ...(web ? { path: `${pathname === '' ? '/' : pathname}${search}` } : {}),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'mqtts' || protocol === 'wss' ? tlsOptions(tls) : {}),
  };
}

/** The address without credentials, for messages. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return hideUser(url);
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

function hideUser(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//***@');
}

function tlsOptions({
  caCert,
  clientCert,
  clientKey,
}: TlsMaterial): Pick<IClientOptions, 'ca' | 'cert' | 'key'> {
  if ((clientCert === '') !== (clientKey === '')) {
    throw new Error("metadata items 'clientCert' and 'clientKey' belong together: one of them is missing");
  }
  if (caCert !== '') checkCertificate('caCert', caCert);
  if (clientCert !== '') checkCertificate('clientCert', clientCert);
  if (clientKey !== '' && !clientKey.includes('-----BEGIN'))
    throw new Error("metadata item 'clientKey': expected PEM text");
  return {
    ...(caCert === '' ? {} : { ca: caCert }),
    ...(clientCert === '' ? {} : { cert: clientCert, key: clientKey }),
  };
}

function checkCertificate(item: string, pem: string): void {
  try {
    new X509Certificate(pem);
  } catch (error) {
    throw new Error(`metadata item '${item}': expected a PEM certificate: ${errorText(error)}`);
  }
}
