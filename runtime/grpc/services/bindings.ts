/** Output bindings over gRPC (gRPC reference, section 2.5): metadata of the call joins the metadata of the request. */

import { RuntimeError } from '../../contracts/error.ts';
import { daprPrefixed } from '../../contracts/grpc-wire/header-names.ts';
import type { GrpcCall } from '../../contracts/grpc-wire/service.ts';
import {
  InvokeBindingRequestSchema,
  InvokeBindingResponseSchema,
} from '../../generated/dapr/proto/runtime/v1/binding_pb.ts';
import { type Operations, type ServiceDeps, unary } from './method.ts';

/** The binding operations. */
export function bindingOperations({ blocks: { bindings } }: ServiceDeps): Operations<'bindingInvoke'> {
  return {
    bindingInvoke: unary(InvokeBindingRequestSchema, InvokeBindingResponseSchema, async (request, call) => {
      const { operation, data } = request;
      try {
        const answer = await bindings.invoke(
          request.name,
          { operation, data, metadata: joined(request.metadata, call) },
          call,
        );
        if (answer === undefined) return {};
        sendMetadata(call, answer.metadata);
        return {
          ...(answer.data === undefined ? {} : { data: answer.data }),
          ...(answer.metadata === undefined ? {} : { metadata: { ...answer.metadata } }),
        };
      } catch (error) {
        // Some bindings tell more about a failure in their metadata.
        if (error instanceof RuntimeError) sendMetadata(call, error.options.responseMetadata);
        throw error;
      }
    }),
  };
}

/** What the request says wins over the call's metadata, except for the trace. */
function joined(given: Readonly<Record<string, string>>, call: GrpcCall): Record<string, string> {
  const metadata: Record<string, string> = { ...given };
  const { traceparent, tracestate } = call.span.context;
  if (traceparent !== undefined) metadata['traceparent'] ??= traceparent;
  if (tracestate !== undefined && tracestate !== '') metadata['tracestate'] ??= tracestate;
  const seen = new Set<string>();
  for (const [name, value] of call.metadata) {
    if (seen.has(name)) continue;
    seen.add(name);
    const key = daprPrefixed(name);
    if (metadata[key] === undefined || name === 'traceparent' || name === 'tracestate') metadata[key] = value;
  }
  const baggage = call.span.context.baggage ?? '';
  if (baggage !== '') metadata['baggage'] = baggage;
  return metadata;
}

function sendMetadata(call: GrpcCall, metadata: Readonly<Record<string, string>> | undefined): void {
  if (metadata === undefined) return;
  call.addHeaders(Object.entries(metadata).map(([name, value]) => [`metadata.${name}`, value] as const));
}
