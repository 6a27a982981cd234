/**
 * Errors as gRPC statuses. Three families exist and clients see the difference in the details (gRPC reference, section
 * 1.3): rich errors carry their details, basic ones a single ErrorInfo with the older tag, plain ones nothing.
 */

import { type ErrorDetail, RuntimeError, runtimeError } from '../contracts/error.ts';
import type { ErrorKey } from '../contracts/error-table.ts';
import { GrpcCode, grpcCodeOfHttp } from '../contracts/grpc-code.ts';
import { type GrpcStatus, GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Logger } from '../contracts/logger.ts';
import { CircuitOpenError, PolicyTimeoutError } from '../contracts/resiliency.ts';
import { abortStatus, deadlineExceeded } from '../grpc-client/abort-status.ts';
import { encodeStatusDetails } from './error-details.ts';

/** Errors whose ErrorInfo tells more on HTTP than on gRPC. */
const NO_INFO: ReadonlySet<ErrorKey> = new Set([
  'stateStoreNotFound',
  'stateStoresNotConfigured',
  'pubsubNotFound',
  'pubsubNotConfigured',
]);

/** Status of whatever a handler threw. What is not meant for clients is logged and becomes Internal. */
export function toGrpcStatus(error: unknown, log: Logger): GrpcStatus {
  if (error instanceof RuntimeError) return statusOfRuntimeError(error);
  if (error instanceof GrpcStatusError) return error;
  if (error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError'))
    return abortStatus(error);
  // What a policy decided about a call to an app is told as it is.
  if (error instanceof PolicyTimeoutError) return deadlineExceeded();
  if (error instanceof CircuitOpenError) return { code: GrpcCode.Unknown, message: error.message };
  log.error('unexpected failure of a gRPC call', { error });
  return statusOfRuntimeError(runtimeError('internal', { error: 'internal error' }));
}

/** Status of a row of the error table with the fields of this occurrence. */
export function statusOfRuntimeError(error: RuntimeError): GrpcStatus {
  const code = error.grpcCode;
  const message = error.row.grpcMessage?.(error.fields) ?? error.message;
  if (error.row.shape === 'rich' || error.options.details !== undefined) {
    const details = NO_INFO.has(error.key) ? error.details.map(withoutInfo) : error.details;
    return { code, message, details: encodeStatusDetails(code, message, details) };
  }
  if (error.row.shape === 'basic') {
    const info = {
      kind: 'ErrorInfo',
      reason: error.errorCode,
      metadata: error.options.info ?? null,
    } as const;
    return { code, message, details: encodeStatusDetails(code, message, [info]) };
  }
  return { code, message };
}

function withoutInfo(detail: ErrorDetail): ErrorDetail {
  return detail.kind === 'ErrorInfo' ? { ...detail, metadata: null } : detail;
}

const HTTP_STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Request Entity Too Large',
  414: 'Request URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Requested Range Not Satisfiable',
  417: 'Expectation Failed',
  418: "I'm a teapot",
  421: 'Misdirected Request',
  422: 'Unprocessable Entity',
  423: 'Locked',
  424: 'Failed Dependency',
  425: 'Too Early',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  506: 'Variant Also Negotiates',
  507: 'Insufficient Storage',
  508: 'Loop Detected',
  510: 'Not Extended',
  511: 'Network Authentication Required',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  305: 'Use Proxy',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
};
const MAX_TEXT_BYTES = 63;

/** Status of an HTTP failure: an app's answer, a refused token, a closed API (gRPC reference, section 1.3). */
export function statusOfHttpFailure(httpStatus: number, text: string): GrpcStatusError | undefined {
  const code: GrpcCode = grpcCodeOfHttp(httpStatus);
  if (code === 0) return undefined;
  const reason = HTTP_STATUS_TEXT[httpStatus] ?? '';
  const bytes = Buffer.from(text, 'utf8');
  const shown = bytes.byteLength > MAX_TEXT_BYTES ? bytes.subarray(0, MAX_TEXT_BYTES).toString('utf8') : text;
  const details = encodeStatusDetails(code, reason, [
    { kind: 'ErrorInfo', reason, metadata: { 'http.code': String(httpStatus), 'http.error_message': shown } },
  ]);
  return new GrpcStatusError(code, reason, { details });
}
