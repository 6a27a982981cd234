/** Output bindings over HTTP (Dapr HTTP reference, section 9.1). */

import { baggageFault } from '../../contracts/baggage.ts';
import type { BindingsBlock, StringMap } from '../../contracts/blocks.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import { goJson } from '../../contracts/go-json.ts';
import { asText, asTextMap, parseJson, pickMembers } from '../json-fields.ts';
import { JSON_TYPE, metadataHeaders, NO_CONTENT } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

export function bindingHandlers(bindings: BindingsBlock): Pick<HttpHandlers, 'bindingInvoke'> {
  return {
    bindingInvoke: async (request) => {
      const name = request.param(0);
      let operation: string;
      let metadata: StringMap;
      let data: Uint8Array;
      try {
        const body = pickMembers(parseJson(await request.body.bytes()), 'body', [
          'operation',
          'metadata',
          'data',
        ]);
        operation = asText(body.operation, 'operation') ?? '';
        metadata = asTextMap(body.metadata, 'metadata');
        data = Buffer.from(goJson(body.data), 'utf8');
      } catch (error) {
        throw runtimeError('malformedRequest', { error: errorText(error) }, { cause: error });
      }
      // With tracing on, the server has refused a malformed one before.
      const fault = baggageFault(request.header('baggage'));
      if (fault !== undefined)
        throw runtimeError('malformedText', { error: `invalid baggage header: ${fault}` });
      const answer = await bindings.invoke(name, { operation, data, metadata }, request.call);
      if (answer === undefined) return NO_CONTENT;
      const headers = ['Content-Type', JSON_TYPE, ...metadataHeaders(answer.metadata)];
      return { status: 200, headers, ...(answer.data === undefined ? {} : { body: answer.data }) };
    },
  };
}
