/** The one error class that reaches clients: a row of the error table plus the fields of this occurrence. */

import { ERRORS, type ErrorKey, type ErrorRow } from './error-table.ts';
import { grpcCodeName } from './grpc-code.ts';

export type Fields = Readonly<Record<string, string | number>>;

/** Details in the order they are sent (google.rpc messages). */
export type ErrorDetail =
  | {
      readonly kind: 'ErrorInfo';
      readonly reason: string;
      /** Default `dapr.io`. */
      readonly domain?: string;
      readonly metadata: Readonly<Record<string, string>> | null;
    }
  | {
      readonly kind: 'ResourceInfo';
      readonly type: string;
      readonly name: string;
      readonly owner?: string;
      readonly description?: string;
    }
  | {
      readonly kind: 'BadRequest';
      readonly violations: readonly { readonly field: string; readonly description: string }[];
    }
  | {
      readonly kind: 'Help';
      readonly links: readonly { readonly description: string; readonly url: string }[];
    };

export interface RuntimeErrorOptions {
  /** Kept for logs, never sent. */
  readonly cause?: unknown;
  /** Overrides the row's statuses where the cause decides (etag mismatch, standardised component errors). */
  readonly httpStatus?: number;
  readonly grpcCode?: number;
  /** Replaces the row's details. */
  readonly details?: readonly ErrorDetail[];
  /** Replaces the row's errorCode (standardised component errors). */
  readonly tag?: string;
  /** Metadata of the ErrorInfo detail, for rows that take it from the occurrence. */
  readonly info?: Readonly<Record<string, string>> | null;
  /** Response metadata that must travel with the failure (output bindings). */
  readonly responseMetadata?: Readonly<Record<string, string>>;
}

export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly key: ErrorKey;
  readonly fields: Fields;
  readonly options: RuntimeErrorOptions;

  constructor(key: ErrorKey, fields: Fields, options: RuntimeErrorOptions) {
    super(
      (ERRORS[key] as ErrorRow).message(fields),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.key = key;
    this.fields = fields;
    this.options = options;
  }

  get row(): ErrorRow {
    return ERRORS[this.key];
  }

  get httpStatus(): number {
    return this.options.httpStatus ?? this.row.http;
  }

  get grpcCode(): number {
    return this.options.grpcCode ?? this.row.grpc;
  }

  /** HTTP `errorCode`: the legacy tag, or the reason where there is none. */
  get errorCode(): string {
    return this.options.tag ?? this.row.tag ?? this.row.reason ?? 'ERROR';
  }

  /** Details of a rich error, in wire order; basic errors get one ErrorInfo on gRPC only (see `grpc/status.ts`). */
  get details(): readonly ErrorDetail[] {
    if (this.options.details !== undefined) return this.options.details;
    if (this.row.shape !== 'rich') return [];
    const info: ErrorDetail = {
      kind: 'ErrorInfo',
      reason: this.row.reason ?? '',
      metadata: this.options.info === undefined ? {} : this.options.info,
    };
    return [...(this.row.details?.(this.fields) ?? []), info];
  }
}

/** What a component decided about its own failure. */
export interface ComponentVerdict {
  readonly grpcCode: number;
  readonly httpStatus: number;
  readonly description: string;
  readonly tag: string;
  readonly reason: string;
  readonly domain: string;
}

/** A failure whose statuses, tag and reason the component chose itself (Dapr's standardised errors). */
export class ComponentVerdictError extends Error {
  override readonly name = 'ComponentVerdictError';
  readonly verdict: ComponentVerdict;
  constructor(verdict: ComponentVerdict) {
    super(`api error: code = ${grpcCodeName(verdict.grpcCode)} desc = ${verdict.description}`);
    this.verdict = verdict;
  }

  /** The error as clients see it where Dapr passes it on unchanged. */
  asRuntimeError(): RuntimeError {
    const { description, reason, domain, ...statuses } = this.verdict;
    const details: readonly ErrorDetail[] = [{ kind: 'ErrorInfo', reason, domain, metadata: null }];
    return runtimeError('componentVerdict', { error: description }, { ...statuses, details, cause: this });
  }
}

/** Makes the error of a table row; `fields` fill its message. */
export function runtimeError(
  key: ErrorKey,
  fields: Fields = {},
  options: RuntimeErrorOptions = {},
): RuntimeError {
  return new RuntimeError(key, fields, options);
}

/** What the system says about a file, in the words that Dapr's users know. */
const FILE_FAULTS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'file exists',
  EISDIR: 'is a directory',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  ENOTEMPTY: 'directory not empty',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
};

/** Text of an unknown thrown value, for the `%s` at the end of many messages. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  if (path === undefined || code === undefined || !error.message.startsWith(`${code}: `))
    return error.message;
  const fault = FILE_FAULTS[code];
  if (fault === undefined) return error.message;
  // Who watches a file says which.
  return syscall === 'watch' ? fault : `${syscall} ${path}: ${fault}`;
}
