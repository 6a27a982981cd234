/** What workflow SDKs hear from a sidecar without an engine, as a daprd without placement says it. */

import t from 'tap';
import { createTaskHubService } from '../../../../runtime/grpc/services/task-hub.ts';
import { startServer, unaryCall } from '../../../support/grpc-harness.ts';

const path = (method: string): string => `/TaskHubSidecarService/${method}`;
const NOTHING = new Uint8Array(0);

t.test('a handshake succeeds and shows what was sent', async (t) => {
  const { client } = await startServer(t, [createTaskHubService()]);
  t.match(await unaryCall(client, path('Hello'), NOTHING), { code: 0, message: NOTHING });
  const sent = Buffer.from([0x0a, 1, 0x61]);
  t.same(Buffer.from((await unaryCall(client, path('Hello'), sent)).message ?? NOTHING), sent);
  t.match(
    await unaryCall(client, path('Hello'), Buffer.from([0x0a, 5, 1])),
    { code: 13 },
    'no message at all',
  );
});

t.test('everything that needs an engine says what is missing', async (t) => {
  const { client } = await startServer(t, [createTaskHubService()]);
  const ask = async (method: string): Promise<string> => {
    const { code, text } = await unaryCall(client, path(method), Buffer.from([0x0a, 1, 0x61]));
    return `${code} ${text}`;
  };
  for (const method of [
    'GetInstance',
    'WaitForInstanceStart',
    'WaitForInstanceCompletion',
    'GetInstanceHistory',
  ])
    t.equal(await ask(method), '14 placement service is not configured', method);
  for (const method of ['RaiseEvent', 'SuspendInstance', 'ResumeInstance', 'RerunWorkflowFromEvent'])
    t.match(await ask(method), /^13 the state store is not configured to use the actor runtime/, method);
  t.match(
    await ask('StartInstance'),
    /^13 failed to create workflow instance: api error: code = Internal desc = the s/,
  );
  t.match(await ask('TerminateInstance'), /^13 failed to submit termination request: api error/);
  t.match(await ask('PurgeInstances'), /^13 failed to purge workflow state: api error/);
  t.equal(await ask('ListInstanceIDs'), '2 no state store with actor support found');
  t.match(
    await ask('GetWorkItems'),
    /^14 unable to establish work item stream at this time: api error: code = Unavailable/,
  );
  for (const method of ['CompleteActivityTask', 'CompleteOrchestratorTask', 'CompleteWorkflowTask'])
    t.match(await ask(method), /^0/, method);
  t.match(await ask('CreateTaskHub'), /^12 /, 'not a method of daprd');
});
