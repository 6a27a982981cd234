/**
 * What the OTEL_EXPORTER_OTLP_* variables add to `spec.tracing`, as daprd and the OTLP exporter inside it read them: an
 * endpoint only when the Configuration names none, headers and timeout only when it has none. The variable of the
 * signal (`..._TRACES_...`) wins over the general one.
 */

import type { ConfigurationResource } from '../contracts/resource.ts';

type Tracing = ConfigurationResource['tracing'];
type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_TIMEOUT_MS = 10_000;
/** Characters of a header name (RFC 9110, `token`). */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A variable that is of no use; its name and what was expected. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
  readonly variable: string;
  constructor(variable: string, message: string) {
    super(message);
    this.variable = variable;
  }
}

export interface SpecTracing extends Omit<Tracing, 'otel'> {
  readonly otel: Omit<Tracing['otel'], 'headers' | 'timeoutMs' | 'isSecure'> & {
    readonly isSecure: boolean | undefined;
    readonly headers: Readonly<Record<string, string>> | undefined;
    readonly timeoutMs: number | undefined;
  };
}

/** The first of the two variables that is set and not empty. */
function variable(env: Env, name: string): { readonly name: string; readonly value: string } | undefined {
  for (const full of [`OTEL_EXPORTER_OTLP_TRACES_${name}`, `OTEL_EXPORTER_OTLP_${name}`]) {
    const value = env[full];
    if (value !== undefined && value !== '') return { name: full, value };
  }
  return undefined;
}

/** Completes `spec`; throws `EnvironmentError` for a variable that cannot be read. */
export function withTracingEnvironment(spec: SpecTracing, env: Env): Tracing {
  const given = spec.otel.endpointAddress === '' ? variable(env, 'ENDPOINT') : undefined;
  const otel =
    given === undefined
      ? { ...spec.otel, isSecure: spec.otel.isSecure ?? true }
      : { ...spec.otel, ...endpointOf(given, env, spec.otel.isSecure) };
  const gzip = variable(env, 'COMPRESSION')?.value.trim().toLowerCase() === 'gzip';
  const caFile = variable(env, 'CERTIFICATE')?.value;
  const certFile = variable(env, 'CLIENT_CERTIFICATE')?.value;
  const keyFile = variable(env, 'CLIENT_KEY')?.value;
  return {
    ...spec,
    samplingRate: given !== undefined && spec.samplingRate === '' ? '1' : spec.samplingRate,
    otel: {
      ...otel,
      headers: spec.otel.headers ?? headersOf(variable(env, 'HEADERS')),
      timeoutMs: spec.otel.timeoutMs ?? timeoutOf(variable(env, 'TIMEOUT')),
      ...(gzip ? { gzip } : {}),
      ...(caFile === undefined ? {} : { caFile }),
      ...(certFile === undefined ? {} : { certFile }),
      ...(keyFile === undefined ? {} : { keyFile }),
    },
  };
}

/** The general endpoint is a base URL, that of the signal the URL itself (OTLP exporter specification). */
function endpointOf(
  endpoint: { readonly name: string; readonly value: string },
  env: Env,
  specSecure: boolean | undefined,
): Pick<Tracing['otel'], 'endpointAddress' | 'protocol' | 'isSecure' | 'path'> {
  const scheme = /^(https?):\/\//i.exec(endpoint.value)?.[1]?.toLowerCase();
  const rest = endpoint.value.replace(/^https?:\/\//i, '');
  const slash = rest.indexOf('/');
  const endpointAddress = slash < 0 ? rest : rest.slice(0, slash);
  const below = slash < 0 ? '' : rest.slice(slash).replace(/\/+$/, '');
  const path = endpoint.name.includes('TRACES') ? below || '/' : `${below}/v1/traces`;
  const protocol = variable(env, 'PROTOCOL')?.value.startsWith('http') === true ? 'http' : 'grpc';
  const insecure = env['OTEL_EXPORTER_OTLP_INSECURE'] === 'true' || scheme === 'http';
  return {
    endpointAddress,
    protocol,
    isSecure: !insecure && (specSecure ?? true),
    // Without a scheme it is no URL, and the path is the usual one.
    ...(scheme === undefined ? {} : { path }),
  };
}

function headersOf(
  given: { readonly name: string; readonly value: string } | undefined,
): Readonly<Record<string, string>> {
  if (given === undefined) return {};
  const headers: Record<string, string> = {};
  for (const pair of given.value.split(',')) {
    const equals = pair.indexOf('=');
    const name = equals < 0 ? '' : pair.slice(0, equals).trim();
    if (!HEADER_NAME.test(name)) {
      throw new EnvironmentError(
        given.name,
        `expected name=value pairs with commas between, got ${JSON.stringify(pair)}`,
      );
    }
    headers[name] = unescaped(given.name, pair.slice(equals + 1)).trim();
  }
  return headers;
}

function unescaped(name: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new EnvironmentError(name, 'a header value has a malformed percent escape');
  }
}

function timeoutOf(given: { readonly name: string; readonly value: string } | undefined): number {
  if (given === undefined) return DEFAULT_TIMEOUT_MS;
  if (!/^[+-]?\d+$/.test(given.value)) {
    throw new EnvironmentError(given.name, `expected milliseconds, got ${JSON.stringify(given.value)}`);
  }
  const ms = Number(given.value);
  return ms > 0 ? ms : DEFAULT_TIMEOUT_MS;
}
