/** The CloudEvents envelope as a JSON object; extension attributes are further members. */

export type CloudEvent = Readonly<Record<string, unknown>>;

export const CLOUD_EVENTS_JSON = 'application/cloudevents+json';
export const DEFAULT_EVENT_TYPE = 'com.dapr.event.sent';
export const DEFAULT_BULK_EVENT_TYPE = 'com.dapr.event.sent.bulk';
export const DEFAULT_EVENT_SOURCE = 'Dapr';

/** Content type without parameters, lower case. */
export function mediaType(contentType: string | undefined): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}
