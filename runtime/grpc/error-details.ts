/** google.rpc details of an error, packed into the `google.rpc.Status` that travels as `grpc-status-details-bin`. */

import { create, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack } from '@bufbuild/protobuf/wkt';
import type { ErrorDetail } from '../contracts/error.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  ResourceInfoSchema,
} from '../generated/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../generated/google/rpc/status_pb.ts';

const DOMAIN = 'dapr.io';

/** Encoded google.rpc.Status with the details in their order. */
export function encodeStatusDetails(
  code: number,
  message: string,
  details: readonly ErrorDetail[],
): Uint8Array {
  return toBinary(StatusSchema, create(StatusSchema, { code, message, details: details.map(packDetail) }));
}

function packDetail(detail: ErrorDetail): Any {
  switch (detail.kind) {
    case 'ErrorInfo':
      return anyPack(
        ErrorInfoSchema,
        create(ErrorInfoSchema, {
          reason: detail.reason,
          domain: detail.domain ?? DOMAIN,
          metadata: { ...detail.metadata },
        }),
      );
    case 'ResourceInfo':
      return anyPack(
        ResourceInfoSchema,
        create(ResourceInfoSchema, {
          resourceType: detail.type,
          resourceName: detail.name,
          owner: detail.owner ?? '',
          description: detail.description ?? '',
        }),
      );
    case 'BadRequest':
      return anyPack(
        BadRequestSchema,
        create(BadRequestSchema, {
          fieldViolations: detail.violations.map(({ field, description }) => ({ field, description })),
        }),
      );
    case 'Help':
      return anyPack(
        HelpSchema,
        create(HelpSchema, {
          links: detail.links.map(({ description, url }) => ({ description, url })),
        }),
      );
  }
}
