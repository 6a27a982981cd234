/** Access policies in the invoke block: whose identity decides, and what the policy is asked. */

import t from 'tap';
import {
  createInvokeBlock,
  type InvokeBlockOptions,
} from '../../../../runtime/building-blocks/invoke/invoke.ts';
import type { AppChannel } from '../../../../runtime/contracts/app-channel.ts';
import { parseSpiffeId } from '../../../../runtime/contracts/spiffe.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { callContext, invokeRequest, invokeResponse } from '../../../support/invocations.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';

const id = parseSpiffeId('spiffe://public/ns/default/me');
const operations = [{ name: '/x', httpVerb: ['GET'], action: 'allow' }];
const accessControl = {
  defaultAction: 'deny',
  trustDomain: 'public',
  policies: [{ appId: 'me', defaultAction: 'deny', trustDomain: 'public', namespace: 'default', operations }],
};

function block(appId: string, given: Partial<InvokeBlockOptions> = {}) {
  return createInvokeBlock({
    appId,
    namespace: '',
    hostAddress: '',
    hostName: '',
    policies: { hasAppPolicy: () => false } as never,
    resolver: () => undefined,
    peers: { call: async () => Promise.reject(new Error('nobody is far away')), close: async () => {} },
    appChannel: () => undefined,
    appHealth: { healthy: true },
    endpoints: () => new Map(),
    external: { call: async () => Promise.reject(new Error('nor outside')), close: async () => {} },
    clock: fakeClock(),
    log: recordingLogger(),
    metrics: { count: () => {}, observe: () => {}, gauge: () => {} },
    ...given,
  });
}

const callee = (protocol: AppChannel['protocol']) =>
  block('callee', {
    appChannel: () => ({ protocol, invoke: async () => invokeResponse() }) as unknown as AppChannel,
    accessControl,
  });

t.test('between apps of one node policies go by the identity of the calling sidecar', async (t) => {
  const sibling = callee('http');
  const invoke = (given: { identity?: () => typeof id }, request = invokeRequest()) =>
    block('me', { localApps: () => sibling, ...given }).invoke({ id: 'callee' }, request, callContext());
  t.equal((await invoke({ identity: () => id })).status, 200);
  await t.rejects(invoke({ identity: () => id }, invokeRequest({ verb: 'PUT' })), {
    message: /denied access to id: spiffe:\/\/public\/ns\/default\/me operation: x verb: PUT/,
  });
  await t.rejects(invoke({}), { message: /denied access to id: {2}operation/ }, 'none without mutual TLS');
});

t.test('what another sidecar asks for', async (t) => {
  const caller = { appId: 'me', namespace: 'default' };
  const local = (
    verb: string,
    protocol: AppChannel['protocol'] = 'http',
    callerId: typeof id | undefined = id,
  ) => callee(protocol).invokeLocal(invokeRequest({ verb }), caller, { ...callContext(), callerId });
  t.equal((await local('GET')).status, 200);
  await t.rejects(local(''), { message: /operation: x verb: NONE$/ }, 'a call that names no verb');
  t.equal((await local('POST', 'grpc')).status, 200, 'gRPC apps have no verbs');
  const nobody = callee('http').invokeLocal(invokeRequest(), caller, callContext());
  await t.rejects(
    nobody,
    { grpcCode: 7, message: /denied access to id: {2}/ },
    'the name in the request is no identity',
  );
});

t.test('a policy names what the app understands, however the call spells it', async (t) => {
  const deniedNames = ['/a b', '/ü', '/under'].map((name) => ({ name, httpVerb: ['*'], action: 'deny' }));
  const me = { appId: 'me', trustDomain: 'public', namespace: 'default', operations: deniedNames };
  const verdict = async (
    protocol: AppChannel['protocol'],
    given: { method: string; plainMethod?: string },
  ) => {
    const called = block('callee', {
      appChannel: () => ({ protocol, invoke: async () => invokeResponse() }) as unknown as AppChannel,
      accessControl: { ...accessControl, policies: [{ ...me, defaultAction: 'allow' }] },
    });
    const call = { ...callContext(), callerId: id };
    return called
      .invokeLocal(invokeRequest({ verb: 'GET', ...given }), { appId: 'me', namespace: 'default' }, call)
      .then(
        () => 'allowed',
        (error: Error) => /operation: (.*) verb/.exec(error.message)?.[1],
      );
  };
  t.equal(await verdict('http', { method: 'a%20b' }), 'a b');
  t.equal(await verdict('http', { method: '%C3%BC' }), 'ü');
  t.equal(await verdict('http', { method: 'un%64er%2Fit' }), 'under/it');
  t.equal(await verdict('http', { method: 'other' }), 'allowed');
  t.equal(await verdict('grpc', { method: 'a%20b', plainMethod: '/x/../a b' }), '/a b');
  t.equal(
    await verdict('grpc', { method: 'un%64er', plainMethod: 'un%64er' }),
    'allowed',
    'another name to it',
  );
});

t.test('that everybody else is refused for want of a default action is said at the start', (t) => {
  const said = (given: Partial<typeof accessControl>): number => {
    const log = recordingLogger();
    block('callee', { accessControl: { ...accessControl, ...given }, log });
    return log.lines.filter(({ level }) => level === 'warn').length;
  };
  t.equal(said({ defaultAction: '' }), 1);
  t.equal(said({ defaultAction: '', policies: [] }), 0);
  t.equal(said({}), 0);
  t.end();
});
