// Two apps on one node (`skerry up`) that know each other by app id alone: a gRPC call passes with its deadline, although
// nothing resolves names.

import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { freePorts, healthy, startProcess } from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { writeFiles } from './support/resource-files.ts';

const same = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

t.test('a gRPC call to the other app of the node', async (t) => {
  const { now } = systemClock();
  const deadlines: number[] = [];
  const app = new grpc.Server();
  app.addService(
    {
      Echo: {
        path: '/app.Api/Echo',
        requestStream: false,
        responseStream: false,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    },
    {
      Echo: (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) => {
        deadlines.push(Number(call.getDeadline()));
        answer(null, call.request);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    app.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.teardown(() => app.forceShutdown());
  const directory = t.testdir();
  const [calleePorts, callerPorts] = [await freePorts(), await freePorts()];
  writeFiles(directory, '.', {
    // Names in the manner of Kubernetes lead nowhere here.
    'config.yaml':
      'apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n' +
      'spec: {nameResolution: {component: dns}}\n',
    'node.yaml': JSON.stringify({
      version: 1,
      common: { configFilePath: join(directory, 'config.yaml') },
      apps: [
        {
          appID: 'callee',
          appPort: port,
          appProtocol: 'grpc',
          daprHTTPPort: calleePorts.http,
          daprGRPCPort: calleePorts.grpc,
          metricsPort: calleePorts.metrics,
        },
        {
          appID: 'caller',
          daprHTTPPort: callerPorts.http,
          daprGRPCPort: callerPorts.grpc,
          metricsPort: callerPorts.metrics,
        },
      ],
    }),
  });
  const mqtt = ['--mqtt-port', String(calleePorts.mqtt), '--data-dir', join(directory, 'data')];
  const { child, ended, output } = startProcess(t, program('skerry'), [
    'up',
    '-f',
    join(directory, 'node.yaml'),
    ...mqtt,
  ]);
  for (const { http } of [calleePorts, callerPorts])
    await healthy({ base: `http://127.0.0.1:${http}`, ended, output });

  const client = new grpc.Client(`127.0.0.1:${callerPorts.grpc}`, grpc.credentials.createInsecure());
  t.teardown(() => client.close());
  const call = (metadata: Record<string, string>): Promise<string> => {
    const given = new grpc.Metadata();
    for (const [name, value] of Object.entries(metadata)) given.set(name, value);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        '/app.Api/Echo',
        same,
        same,
        Buffer.from('hello'),
        given,
        { deadline: now() + 10_000 },
        (error, value) => (error === null ? resolve(String(value)) : reject(error)),
      );
    });
  };
  t.equal(await call({ 'dapr-app-id': 'callee' }), 'hello');
  const left = (deadlines[0] ?? 0) - now();
  t.ok(left > 0 && left <= 10_000, `the app has ${left} ms left`);
  await t.rejects(call({ 'dapr-app-id': 'callee.elsewhere' }), 'of another namespace nothing is known');
  child.kill('SIGTERM');
  t.equal((await ended).code, 0);
});
