/** Answers of pluggable components: any bytes in place of the message that was asked for. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DescService } from '@bufbuild/protobuf';
import { encodeFrame } from '../../../runtime/contracts/grpc-wire/frame.ts';
import { OutputBinding } from '../../../runtime/generated/dapr/proto/components/v1/bindings_pb.ts';
import { SecretStore } from '../../../runtime/generated/dapr/proto/components/v1/secretstore_pb.ts';
import {
  QueriableStateStore,
  StateStore,
  TransactionalStateStore,
  TransactionalStoreMultiMaxSize,
} from '../../../runtime/generated/dapr/proto/components/v1/state_pb.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { pluggableBinding } from '../../../runtime/pluggable/binding.ts';
import { pluggableSecretStore } from '../../../runtime/pluggable/secret-store.ts';
import { pluggableStateStore } from '../../../runtime/pluggable/state-store.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import type { Draw } from '../support/draw.ts';
import { ensureForeseen } from '../support/foreseen.ts';
import { messageBytes } from '../support/messages.ts';
import type { Fuzzing, FuzzTarget } from '../support/target.ts';

const SERVICES: readonly DescService[] = [
  StateStore,
  TransactionalStateStore,
  TransactionalStoreMultiMaxSize,
  QueriableStateStore,
  SecretStore,
  OutputBinding,
];
const OUTPUTS = new Map(
  SERVICES.flatMap(({ typeName, methods }) =>
    methods.map(({ name, output }) => [`/${typeName}/${name}` as string, output] as const),
  ),
);
const LIMIT_MS = 2000;

async function open(): Promise<Fuzzing> {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-fuzz-'));
  const socket = join(folder, 'component.sock');
  /** Undefined: answers are empty messages, as they should be. */
  let drawing: Draw | undefined;
  const server = createServer();
  server.on('stream', (stream, head) => {
    stream.on('error', () => {});
    stream.resume();
    const output = OUTPUTS.get(String(head[':path']));
    const answer =
      drawing === undefined || output === undefined ? Buffer.alloc(0) : messageBytes(drawing, output);
    const reply = stream as unknown as import('node:http2').ServerHttp2Stream;
    const status = drawing?.chance(0.1) === true ? String(drawing.int(-1, 20)) : '0';
    reply.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    reply.on('wantTrailers', () => reply.sendTrailers({ 'grpc-status': status }));
    const frame = encodeFrame(answer);
    reply.end(drawing?.chance(0.05) === true ? drawing.mutate(Buffer.from(frame)) : frame);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const options = {
    socket,
    componentName: 'fuzz',
    clock: systemClock(),
    log: recordingLogger(),
    maxMessageBytes: 64 * 1024,
  };
  const services = new Set(SERVICES.map(({ typeName }) => typeName));
  const state = pluggableStateStore(options, {}, services);
  const secrets = pluggableSecretStore(options, {});
  const binding = pluggableBinding(options, {}, services);
  const never = new AbortController().signal;
  for (const one of [state, secrets, binding]) await one.init(never);
  const item = { key: 'k', options: { concurrency: '', consistency: '' }, metadata: {}, consistency: '' };
  const set = { ...item, kind: 'upsert', value: Buffer.from('1') };
  const calls: readonly ((signal: AbortSignal) => Promise<unknown> | undefined)[] = [
    (signal) => state.get(item, signal),
    (signal) => state.set(set as never, signal),
    (signal) => state.delete({ ...item, kind: 'delete' }, signal),
    (signal) => state.bulkGet?.(['k', 'l'], {}, signal),
    (signal) => state.ping?.(signal),
    (signal) => secrets.get('k', {}, signal),
    (signal) => secrets.bulkGet({}, signal),
    (signal) =>
      binding.invoke?.({ operation: 'create', data: Buffer.alloc(0), metadata: {} } as never, signal),
  ];
  return {
    one: async (draw) => {
      drawing = draw;
      try {
        await draw.pick(calls)(AbortSignal.timeout(LIMIT_MS));
      } catch (error) {
        ensureForeseen(error);
      }
    },
    close: async () => {
      for (const one of [state, secrets, binding]) await one.close().catch(() => {});
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const pluggable: FuzzTarget = { name: 'pluggable', inputs: 1_500, open };
