/** Output bindings: find the component, check the operation, call it under its policy. */

import { BindingError, type BindingResponse } from '../../contracts/binding.ts';
import type { BindingsBlock, StringMap } from '../../contracts/blocks.ts';
import type { ComponentSource } from '../../contracts/component-source.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { TraceContext } from '../../contracts/trace.ts';
import { type ComponentCallDeps, callComponent, countRefusal } from '../component-call.ts';

export interface BindingsBlockDeps extends ComponentCallDeps {
  readonly components: ComponentSource;
}

export function createBindingsBlock(deps: BindingsBlockDeps): BindingsBlock {
  return {
    invoke: async (name, request, call): Promise<BindingResponse | undefined> => {
      const fail = (error: string, cause?: unknown, response?: BindingResponse): Error =>
        runtimeError(
          'outputBinding',
          { binding: name, error },
          {
            cause,
            ...(response?.metadata === undefined ? {} : { responseMetadata: response.metadata }),
          },
        );
      /** A request that gets to no component is counted all the same. */
      const refuse = (error: string): Error => {
        countRefusal(deps, 'Binding', name, request.operation);
        return fail(error);
      };
      if (request.operation === '') throw refuse('operation field is missing from request');
      const component = deps.components.get('bindings', name);
      const invoke = component?.instance.invoke?.bind(component.instance);
      if (component === undefined || invoke === undefined)
        throw refuse(`couldn't find output binding ${name}`);
      const { operations } = component.instance;
      if (!operations.includes(request.operation)) {
        throw refuse(
          `binding ${name} does not support operation ${request.operation}. supported operations:${operations.join(' ')}`,
        );
      }
      const metadata = withTrace(request.metadata, call.span.context);
      try {
        return await callComponent(deps, 'Binding', name, request.operation, call, (signal) =>
          invoke({ ...request, metadata }, signal),
        );
      } catch (error) {
        throw fail(errorText(error), error, error instanceof BindingError ? error.response : undefined);
      }
    },
  };
}

/** Components get the trace of the call as metadata. */
function withTrace(metadata: StringMap, { traceparent, tracestate, baggage }: TraceContext): StringMap {
  return {
    ...metadata,
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
    ...(baggage === undefined ? {} : { baggage }),
  };
}
