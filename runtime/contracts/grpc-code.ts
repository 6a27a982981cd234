/** gRPC status codes and the mappings Dapr uses between them and HTTP statuses. */

export const GrpcCode = {
  OK: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;

export type GrpcCode = (typeof GrpcCode)[keyof typeof GrpcCode];

const NAMES = Object.entries(GrpcCode).reduce<string[]>((names, [name, code]) => {
  names[code] = name;
  return names;
}, []);

/** Go's name of a code (`InvalidArgument`), as it appears in embedded error texts. */
export function grpcCodeName(code: number): string {
  return NAMES[code] ?? `Code(${code})`;
}

const HTTP_OF_GRPC = [200, 408, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

/** HTTP reference, section 4.2. */
export function httpStatusOfGrpc(code: number): number {
  return HTTP_OF_GRPC[code] ?? 500;
}

const GRPC_OF_HTTP: Readonly<Record<number, GrpcCode>> = {
  400: GrpcCode.Internal,
  401: GrpcCode.Unauthenticated,
  403: GrpcCode.PermissionDenied,
  404: GrpcCode.NotFound,
  408: GrpcCode.Canceled,
  409: GrpcCode.AlreadyExists,
  429: GrpcCode.ResourceExhausted,
  500: GrpcCode.Unknown,
  501: GrpcCode.Unimplemented,
  503: GrpcCode.Unavailable,
  504: GrpcCode.DeadlineExceeded,
};

/** gRPC reference, section 1.3: what an HTTP app's status becomes for a gRPC caller. */
export function grpcCodeOfHttp(status: number): GrpcCode {
  return status >= 200 && status < 300 ? GrpcCode.OK : (GRPC_OF_HTTP[status] ?? GrpcCode.Unknown);
}
