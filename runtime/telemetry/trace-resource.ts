/** Who the spans come from: the app id, or what the OTEL variables say (OpenTelemetry resource SDK). */

/** Resource attributes by name. */
export type TraceResource = Readonly<Record<string, string>>;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `OTEL_SERVICE_NAME` wins over `service.name` of `OTEL_RESOURCE_ATTRIBUTES`, that over the app id. */
export function traceResource(
  appId: string,
  env: Readonly<Record<string, string | undefined>>,
): TraceResource {
  const resource: Record<string, string> = { 'service.name': appId };
  for (const pair of (env['OTEL_RESOURCE_ATTRIBUTES'] ?? '').split(',')) {
    const equals = pair.indexOf('=');
    if (equals <= 0) continue;
    const key = pair.slice(0, equals).trim();
    if (key !== '') resource[key] = decoded(pair.slice(equals + 1).trim());
  }
  const name = env['OTEL_SERVICE_NAME']?.trim() ?? '';
  if (name !== '') resource['service.name'] = name;
  return resource;
}
