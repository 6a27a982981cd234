/**
 * A pluggable component of the tests' own: one gRPC server on a Unix socket that is a state store, a broker, a binding
 * both ways and a secret store. Every service refuses calls of an instance that it has not initialised.
 */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { type Any, anyPack } from '@bufbuild/protobuf/wkt';
import { GrpcCode } from '../../runtime/contracts/grpc-code.ts';
import { metadataValue } from '../../runtime/contracts/grpc-wire/metadata.ts';
import {
  type AnyGrpcMethod,
  type Codec,
  type DuplexStream,
  duplexMethod,
  type GrpcCall,
  type GrpcService,
  unaryMethod,
} from '../../runtime/contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../runtime/contracts/grpc-wire/status.ts';
import { InputBinding, OutputBinding } from '../../runtime/generated/dapr/proto/components/v1/bindings_pb.ts';
import { PubSub } from '../../runtime/generated/dapr/proto/components/v1/pubsub_pb.ts';
import { SecretStore } from '../../runtime/generated/dapr/proto/components/v1/secretstore_pb.ts';
import {
  type DeleteRequest,
  QueriableStateStore,
  type SetRequest,
  StateStore,
  TransactionalStateStore,
  TransactionalStoreMultiMaxSize,
} from '../../runtime/generated/dapr/proto/components/v1/state_pb.ts';
import { BadRequestSchema, ErrorInfoSchema } from '../../runtime/generated/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../runtime/generated/google/rpc/status_pb.ts';
import { createReflectionServices } from '../../runtime/grpc/reflection.ts';
import { createGrpcServer } from '../../runtime/grpc/server.ts';
import { codec } from '../../runtime/grpc-client/codec.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { recordingTracer } from './grpc-harness.ts';
import { recordingLogger } from './recording-logger.ts';

export interface SeenCall {
  /** `StateStore/Get` */
  readonly method: string;
  /** Name of the component instance, from the header. */
  readonly instance: string;
  readonly request: unknown;
}

type Failure = (call: SeenCall) => GrpcStatusError | undefined;

export interface PluggableComponent {
  readonly calls: readonly SeenCall[];
  /** Requests of one method so far. */
  to(method: string): readonly SeenCall[];
  /** Answers of the app that came back on `Read` and `PullMessages`, in order. */
  readonly answers: readonly Record<string, unknown>[];
  /** Hands an event to whoever reads. */
  emit(id: string, data: string, metadata?: Record<string, string>): void;
  /** Hands a message to the subscriptions of a topic. */
  deliver(topic: string, id: string, data: string): void;
  /** Ends every open stream with a failure of the component, which lives on. */
  breakStreams(): void;
  close(): Promise<void>;
}

export interface PluggableRequest {
  readonly socket: string;
  /** Short names of the services to serve; default: all. */
  readonly serves?: readonly string[];
  readonly stateFeatures?: readonly string[];
  /** Operations of the output binding; default: `create` and `emit`. */
  readonly operations?: string[];
  readonly pubsubFeatures?: readonly string[];
  /** Which reflection services there are; default: both. */
  readonly reflection?: 'v1' | 'v1alpha';
  /** Fails calls on purpose. */
  readonly failure?: Failure;
  /** Calls that are never answered. */
  readonly hangs?: (call: SeenCall) => boolean;
}

interface Pull {
  readonly topic: string;
  readonly stream: DuplexStream<unknown, MessageInitShape<DescMessage>>;
  readonly broken: (error: GrpcStatusError) => void;
}

export async function startPluggable(given: PluggableRequest): Promise<PluggableComponent> {
  const calls: SeenCall[] = [];
  const answers: Record<string, unknown>[] = [];
  const initialised = new Map<string, Record<string, string>>();
  const pulls = new Set<Pull>();

  const seen = (service: DescService, name: string, call: GrpcCall, request: unknown): SeenCall => {
    const instance = metadataValue(call.metadata, 'x-component-instance') ?? '';
    const entry = { method: `${shortName(service)}/${name}`, instance, request };
    calls.push(entry);
    const refused = given.failure?.(entry);
    if (refused !== undefined) throw refused;
    const known = `${shortName(service)} ${instance}`;
    if (name === 'Init') {
      const { metadata } = request as { metadata?: { properties: Record<string, string> } };
      initialised.set(known, metadata?.properties ?? {});
    } else if (INITIALISED.has(shortName(service)) && !initialised.has(known)) {
      throw new GrpcStatusError(GrpcCode.FailedPrecondition, `${instance} is not initialised`);
    }
    return entry;
  };
  const unary = <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    handle: (request: MessageShape<I>, call: SeenCall) => MessageInitShape<O>,
  ): [string, AnyGrpcMethod] => [
    method.name,
    unaryMethod(codec(method.input), answerCodec(method.output), async (request, call: GrpcCall) => {
      const entry = seen(method.parent, method.name, call, request);
      if (given.hangs?.(entry) === true) await new Promise(() => {});
      return handle(request, entry);
    }),
  ];
  const serve = async (
    stream: DuplexStream<unknown, MessageInitShape<DescMessage>>,
    topic: string,
    call: GrpcCall,
  ): Promise<void> => {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    const pull: Pull = { topic, stream, broken: reject };
    pulls.add(pull);
    const gone = new Promise<undefined>((resolve) =>
      call.signal.addEventListener('abort', () => resolve(undefined), { once: true }),
    );
    try {
      for (;;) {
        const answer = await Promise.race([stream.receive().catch(() => undefined), promise, gone]);
        if (answer === undefined) return;
        answers.push(answer as Record<string, unknown>);
      }
    } finally {
      pulls.delete(pull);
    }
  };

  const services = [
    ...stateServices(unary, given),
    service(PubSub, [
      unary(PubSub.method.init, () => ({})),
      unary(PubSub.method.features, () => ({ features: [...(given.pubsubFeatures ?? [])] })),
      unary(PubSub.method.publish, ({ topic, data }, { request }) => {
        const { contentType, metadata } = request as { contentType: string; metadata: object };
        hand(topic, { data, topicName: topic, contentType, metadata, id: `id-${calls.length}` });
        return {};
      }),
      unary(PubSub.method.bulkPublish, ({ topic, entries }) => {
        for (const { entryId, event } of entries)
          if (entryId !== 'bad') hand(topic, { data: event, topicName: topic, id: entryId });
        const bad = entries.filter(({ entryId }) => entryId === 'bad');
        return { failedEntries: bad.map(({ entryId }) => ({ entryId, error: 'a bad entry' })) };
      }),
      unary(PubSub.method.pause, () => ({})),
      unary(PubSub.method.ping, () => ({})),
      [
        'PullMessages',
        duplexMethod(
          codec(PubSub.method.pullMessages.input),
          answerCodec(PubSub.method.pullMessages.output),
          async (stream, call) => {
            const first = await stream.receive();
            seen(PubSub, 'PullMessages', call, first);
            await serve(stream as never, first?.topic?.name ?? '', call);
          },
        ),
      ],
    ]),
    service(InputBinding, [
      unary(InputBinding.method.init, () => ({})),
      unary(InputBinding.method.ping, () => ({})),
      [
        'Read',
        duplexMethod(
          codec(InputBinding.method.read.input),
          answerCodec(InputBinding.method.read.output),
          async (stream, call) => {
            seen(InputBinding, 'Read', call, undefined);
            await serve(stream as never, EVENTS, call);
          },
        ),
      ],
    ]),
    service(OutputBinding, [
      unary(OutputBinding.method.init, () => ({})),
      unary(OutputBinding.method.ping, () => ({})),
      unary(OutputBinding.method.listOperations, () => ({
        operations: given.operations ?? ['create', 'emit'],
      })),
      unary(OutputBinding.method.invoke, ({ operation, data, metadata }) => {
        if (operation === 'emit') hand(EVENTS, { data, metadata: { kind: 'emitted' }, messageId: 'emitted' });
        return {
          data: Buffer.from(`${operation} ${Buffer.from(data)}`),
          metadata: { seen: metadata['colour'] ?? '' },
          contentType: 'text/plain',
        };
      }),
    ]),
    service(SecretStore, [
      unary(SecretStore.method.init, () => ({})),
      unary(SecretStore.method.features, () => ({ features: ['MULTIPLE_KEY_VALUES_PER_SECRET'] })),
      unary(SecretStore.method.ping, () => ({})),
      unary(SecretStore.method.get, ({ key }) => {
        if (key === 'missing') throw new GrpcStatusError(GrpcCode.NotFound, 'no such secret');
        if (key === 'empty') return {};
        // `items StateStore orders`: what that instance of that service was initialised with.
        if (key.startsWith('items ')) return { data: initialised.get(key.slice(6)) ?? {} };
        return { data: { [key]: `${key}!` } };
      }),
      unary(SecretStore.method.bulkGet, () => ({
        data: { one: { secrets: { one: '1' } }, two: { secrets: { a: 'x', b: 'y' } } },
      })),
    ]),
  ].filter(({ name }) => given.serves?.includes(name.split('.').at(-1) ?? '') ?? true);

  const hand = (topic: string, message: object): void => {
    for (const pull of pulls) if (pull.topic === topic) void pull.stream.send(message as never);
  };
  const reflection = createReflectionServices(services).filter(
    ({ name }) => given.reflection === undefined || name.includes(`.${given.reflection}.`),
  );
  const clock = systemClock();
  const server = createGrpcServer({
    addresses: [],
    port: 0,
    unixSocket: given.socket,
    maxMessageBytes: 4 * 1024 * 1024,
    protocol: 'grpc',
    clock,
    log: recordingLogger(),
    metrics: { count: () => {}, observe: () => {}, gauge: () => {} },
    tracer: recordingTracer(),
    services: [...services, ...reflection],
  });
  await server.listen();
  return {
    calls,
    answers,
    to: (method) => calls.filter((call) => call.method === method),
    emit: (messageId, data, metadata = {}) =>
      hand(EVENTS, { messageId, data: Buffer.from(data), metadata, contentType: 'text/plain' }),
    deliver: (topic, id, data) => hand(topic, { id, data: Buffer.from(data), topicName: topic }),
    breakStreams: () => {
      for (const pull of pulls) pull.broken(new GrpcStatusError(GrpcCode.Internal, 'the broker is away'));
    },
    close: () => server.close(0),
  };
}

/** Name of the stream of binding events among the topics. */
const EVENTS = ' events';
const INITIALISED = new Set(['StateStore', 'PubSub', 'InputBinding', 'OutputBinding', 'SecretStore']);

/** Status with one detail that says which etag was wrong. */
export function etagStatus(code: number, description: string): GrpcStatusError {
  const detail = create(BadRequestSchema, { fieldViolations: [{ field: 'etag', description }] });
  return withDetail(code, 'etag trouble', anyPack(BadRequestSchema, detail));
}

/** Status with one ErrorInfo of these metadata. */
export function infoStatus(code: number, message: string, metadata: Record<string, string>): GrpcStatusError {
  const detail = create(ErrorInfoSchema, { reason: 'A_REASON', domain: 'a-domain', metadata });
  return withDetail(code, message, anyPack(ErrorInfoSchema, detail));
}

function withDetail(code: number, message: string, detail: Any): GrpcStatusError {
  const details = toBinary(StatusSchema, create(StatusSchema, { code, message, details: [detail] }));
  return new GrpcStatusError(code, message, { details });
}

type Unary = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  handle: (request: MessageShape<I>, call: SeenCall) => MessageInitShape<O>,
) => [string, AnyGrpcMethod];

function stateServices(unary: Unary, given: PluggableRequest): readonly GrpcService[] {
  const records = new Map<string, { value: Uint8Array; etag: string; contentType: string }>();
  let version = 0;
  const check = ({ key, etag }: SetRequest | DeleteRequest): void => {
    if (etag === undefined) return;
    if (!/^\d+$/.test(etag.value)) throw etagStatus(GrpcCode.InvalidArgument, `not a number: ${etag.value}`);
    if (records.get(key)?.etag !== etag.value)
      throw etagStatus(GrpcCode.FailedPrecondition, `${key} has another version`);
  };
  const put = ({ key, value, contentType }: SetRequest): void => {
    version += 1;
    records.set(key, { value, etag: String(version), contentType });
  };
  const item = (key: string) => {
    const record = records.get(key);
    return record === undefined
      ? {}
      : { data: record.value, etag: { value: record.etag }, metadata: { from: 'afar' } };
  };
  const state = StateStore.method;
  return [
    service(StateStore, [
      unary(state.init, () => ({})),
      unary(state.features, () => ({ features: [...(given.stateFeatures ?? ['ETAG', 'TRANSACTIONAL'])] })),
      unary(state.ping, () => ({})),
      unary(state.get, ({ key }) => item(key)),
      unary(state.set, (request) => {
        check(request);
        put(request);
        return {};
      }),
      unary(state.delete, (request) => {
        check(request);
        records.delete(request.key);
        return {};
      }),
      unary(state.bulkGet, ({ items }) => ({
        items: items.map(({ key }) =>
          key.endsWith('broken') ? { key, error: 'unreadable' } : { key, ...item(key) },
        ),
      })),
      unary(state.bulkSet, ({ items }) => {
        items.forEach(check);
        items.forEach(put);
        return {};
      }),
      unary(state.bulkDelete, ({ items }) => {
        items.forEach(check);
        for (const { key } of items) records.delete(key);
        return {};
      }),
    ]),
    service(TransactionalStateStore, [
      unary(TransactionalStateStore.method.transact, ({ operations }) => {
        for (const { request } of operations) {
          if (request.case === 'set') put(request.value);
          if (request.case === 'delete') records.delete(request.value.key);
        }
        return {};
      }),
    ]),
    service(TransactionalStoreMultiMaxSize, [
      unary(TransactionalStoreMultiMaxSize.method.multiMaxSize, () => ({ maxSize: 3n })),
    ]),
    service(QueriableStateStore, [
      unary(QueriableStateStore.method.query, ({ query }) => ({
        items: [...records].map(([key, { value, etag }]) => ({ key, data: value, etag: { value: etag } })),
        token: query?.pagination?.token === 'last' ? '' : 'more',
        metadata: { filters: Object.keys(query?.filter ?? {}).join(',') },
      })),
    ]),
  ];
}

function service(
  descriptor: DescService,
  methods: readonly (readonly [string, AnyGrpcMethod])[],
): GrpcService {
  return { name: descriptor.typeName, methods: Object.fromEntries(methods) };
}

function shortName(descriptor: DescService): string {
  return descriptor.name;
}

/** Encodes answers given as plain objects. */
function answerCodec<O extends DescMessage>(schema: O): Codec<MessageInitShape<O>> {
  return {
    encode: (message) => toBinary(schema, create(schema, message)),
    decode: () => {
      throw new Error('answers are only sent');
    },
  };
}
