/** Errors as HTTP answers (Dapr HTTP reference, section 4.1): short form, or detailed with sorted keys per detail. */

import { type ErrorDetail, errorText, RuntimeError, runtimeError } from '../contracts/error.ts';
import { goJson, jsonText } from '../contracts/go-json.ts';
import type { Logger } from '../contracts/logger.ts';
import { SpoolFullError } from '../contracts/spool.ts';
import { BodyAbortedError, BodyTooLargeError } from './body.ts';
import { JSON_TYPE, metadataHeaders, type Reply } from './respond.ts';

const TYPE_URL = 'type.googleapis.com/google.rpc.';

/** Turns whatever was thrown into an error of the table; what nobody foresaw is logged and kept off the wire. */
export function toRuntimeError(error: unknown, log: Logger): RuntimeError {
  if (error instanceof RuntimeError) return error;
  if (error instanceof BodyTooLargeError || error instanceof BodyAbortedError) {
    return runtimeError('bodyRead', { error: error.message }, { cause: error });
  }
  if (error instanceof SpoolFullError)
    return runtimeError('overloaded', { what: 'the queue' }, { cause: error });
  const name = error instanceof Error ? error.name : '';
  if (name === 'AbortError') return runtimeError('canceled', {}, { cause: error });
  if (name === 'TimeoutError') return runtimeError('deadlineExceeded', {}, { cause: error });
  log.error('unexpected failure of an API call', {
    error: errorText(error),
    stack: error instanceof Error ? error.stack : undefined,
  });
  return runtimeError(
    'unknown',
    { error: 'internal error; the log of the sidecar has the cause' },
    { cause: error },
  );
}

/** The answer for `error`. */
export function errorReply(error: RuntimeError): Reply {
  const details = error.details;
  const tail =
    details.length === 0
      ? ''
      : `,"details":[${details.map((detail) => goJson(detailMessage(detail))).join(',')}]`;
  const body = `{"errorCode":${jsonText(error.errorCode)},"message":${jsonText(error.message)}${tail}}`;
  const headers = ['Content-Type', JSON_TYPE, ...metadataHeaders(error.options.responseMetadata)];
  return { status: error.httpStatus, headers, body };
}

/** A detail as the protobuf-JSON of its google.rpc message. */
function detailMessage(detail: ErrorDetail): Readonly<Record<string, unknown>> {
  const type = `${TYPE_URL}${detail.kind}`;
  switch (detail.kind) {
    case 'ErrorInfo':
      return {
        '@type': type,
        domain: detail.domain ?? 'dapr.io',
        metadata: detail.metadata,
        reason: detail.reason,
      };
    case 'ResourceInfo':
      return {
        '@type': type,
        description: detail.description ?? '',
        owner: detail.owner ?? '',
        resource_name: detail.name,
        resource_type: detail.type,
      };
    case 'BadRequest':
      return { '@type': type, field_violations: detail.violations };
    case 'Help':
      return { '@type': type, links: detail.links };
  }
}
