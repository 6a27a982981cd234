/**
 * Input and output bindings in another process (dapr.proto.components.v1.InputBinding, OutputBinding). A socket may
 * serve either or both; the metadata item `direction` may leave one of them out.
 */

import type { Binding, BindingHandler } from '../contracts/binding.ts';
import { errorText } from '../contracts/error.ts';
import { splitCommaList } from '../contracts/metadata.ts';
import { InputBinding, OutputBinding } from '../generated/dapr/proto/components/v1/bindings_pb.ts';
import { type Connection, type ConnectionOptions, createConnection } from './connection.ts';
import { remoteError } from './errors.ts';
import { type MessageStream, openMessageStream } from './message-stream.ts';

const input = InputBinding.method;
const output = OutputBinding.method;
/** Events that are with the app at the same time; more wait in the component. */
const MAX_CONCURRENT_EVENTS = 1000;

/** `services`: what the socket serves. `properties`: metadata items of the component as they are written. */
export function pluggableBinding(
  options: ConnectionOptions,
  properties: Readonly<Record<string, string>>,
  services: ReadonlySet<string>,
): Binding {
  const directions = directionsOf(properties);
  const reads = services.has(InputBinding.typeName) && directions('input');
  const writes = services.has(OutputBinding.typeName) && directions('output');
  const streams = new Set<MessageStream>();
  let operations: readonly string[] = [];
  const connection = createConnection(options, async (caller, signal) => {
    const request = { metadata: { properties } };
    if (reads) await caller.call(input.init, request, signal);
    if (!writes) return;
    await caller.call(output.init, request, signal);
    ({ operations } = await caller.call(output.listOperations, {}, signal));
  });

  const invoke: Binding['invoke'] = async (request, signal) => {
    const { data, metadata, contentType } = await connection
      .call(output.invoke, request, signal)
      .catch(rethrow);
    return { data, metadata, ...(contentType === '' ? {} : { contentType }) };
  };
  return {
    get operations() {
      return operations;
    },
    init: (signal) => connection.init(signal).catch(rethrow),
    ping: async (signal) => {
      if (reads) await connection.call(input.ping, {}, signal).catch(rethrow);
      if (writes) await connection.call(output.ping, {}, signal).catch(rethrow);
    },
    ...(writes ? { invoke } : {}),
    ...(reads
      ? {
          read: async (handler: BindingHandler) => {
            const stream = await read(options, connection, handler);
            streams.add(stream);
            return {
              close: async () => {
                await stream.close();
                streams.delete(stream);
              },
            };
          },
        }
      : {}),
    close: async () => {
      await Promise.all([...streams].map((stream) => stream.close()));
      await connection.close();
    },
  };
}

function read(
  { clock, log, componentName }: ConnectionOptions,
  connection: Connection,
  handler: BindingHandler,
): Promise<MessageStream> {
  return openMessageStream({
    connection,
    method: input.read,
    concurrency: MAX_CONCURRENT_EVENTS,
    label: `input binding ${componentName}`,
    clock,
    log,
    handle: async ({ data, metadata, contentType, messageId }, signal) => {
      try {
        const event = { data, metadata, ...(contentType === '' ? {} : { contentType }) };
        const answer = await handler(event, signal);
        return { messageId, ...(answer === undefined ? {} : { responseData: answer }) };
      } catch (error) {
        log.error(`error when handling message ${messageId}: ${errorText(error)}`);
        return { messageId, responseError: { message: errorText(error) } };
      }
    },
    refuse: ({ messageId }) => ({ messageId, responseError: { message: 'input binding is closed' } }),
  }).catch((error) => {
    throw new Error(`unable to read from binding: ${remoteError(error).message}`, { cause: error });
  });
}

/** Which sides the component's items ask for: all of them, unless `direction` says otherwise. */
function directionsOf(properties: Readonly<Record<string, string>>): (side: string) => boolean {
  const given = Object.entries(properties).find(([name]) => name.toLowerCase() === 'direction')?.[1];
  if (given === undefined) return () => true;
  const sides = splitCommaList(given.toLowerCase());
  return (side) => sides.includes(side);
}

function rethrow(error: unknown): never {
  throw remoteError(error);
}
