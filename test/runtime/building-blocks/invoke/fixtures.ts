/** An invoke block with everything around it replaced. */

import type { ExternalTarget } from '../../../../runtime/building-blocks/invoke/external-http.ts';
import {
  createInvokeBlock,
  type InvokeBlockOptions,
} from '../../../../runtime/building-blocks/invoke/invoke.ts';
import type { AppChannel, InvokeRequest, InvokeResponse } from '../../../../runtime/contracts/app-channel.ts';
import { PermanentError, type Policies, type Policy } from '../../../../runtime/contracts/resiliency.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { invokeResponse, wholeBody } from '../../../support/invocations.ts';
import { recordingLogger } from '../../../support/recording-logger.ts';

const NO_POLICY: Policy = {
  active: false,
  retries: false,
  run: (attempt, options) => attempt(options.signal, 1),
};

/** Runs up to `max` attempts without waiting. */
export const retrying = (max: number): Policy => ({
  active: true,
  retries: true,
  async run(attempt, options) {
    for (let count = 1; ; count += 1) {
      try {
        const value = await attempt(options.signal, count);
        if (options.failed?.(value) === undefined || count === max || options.replayable === false)
          return value;
      } catch (error) {
        if (error instanceof PermanentError || count === max || options.replayable === false) throw error;
      }
    }
  },
});

export function setUp(
  given: Partial<InvokeBlockOptions> & {
    app?: (request: InvokeRequest) => Promise<InvokeResponse>;
    policy?: Policy;
    protocol?: AppChannel['protocol'];
  } = {},
) {
  const peerCalls: { address: string; appId: string; request: InvokeRequest }[] = [];
  const externalCalls: { target: ExternalTarget; request: InvokeRequest }[] = [];
  const forgotten: string[] = [];
  const { app, policy, protocol = 'http', ...options } = given;
  const channel = app === undefined ? undefined : ({ protocol, invoke: app } as unknown as AppChannel);
  const policies: Policies = {
    app: () => policy ?? NO_POLICY,
    actor: () => NO_POLICY,
    componentOutbound: () => NO_POLICY,
    componentInbound: () => NO_POLICY,
    builtIn: () => retrying(4),
    hasAppPolicy: () => policy !== undefined,
  };
  const block = createInvokeBlock({
    appId: 'me',
    namespace: '',
    hostAddress: '10.0.0.1',
    hostName: 'box',
    policies,
    resolver: () => ({
      init: async () => {},
      close: async () => {},
      register: async () => ({ close: async () => {} }),
      resolve: async ({ appId, namespace }) => {
        if (appId === 'nobody') throw new Error("couldn't find service: nobody");
        return `${appId}.${namespace}:1`;
      },
      forget: (_request, address) => void forgotten.push(address),
    }),
    peers: {
      call: async (address, appId, request) => {
        peerCalls.push({ address, appId, request });
        return invokeResponse({ body: wholeBody('far') });
      },
      close: async () => {},
    },
    appChannel: () => channel,
    appHealth: { healthy: true },
    endpoints: () =>
      new Map([['ext', { name: 'ext', baseUrl: 'http://e/base', headers: [['X-Fixed', '1'] as const] }]]),
    external: {
      call: async (target, request) => {
        externalCalls.push({ target, request });
        return invokeResponse({ status: 302 });
      },
      close: async () => {},
    },
    clock: fakeClock(),
    log: recordingLogger(),
    metrics: { count: () => {}, observe: () => {}, gauge: () => {} },
    ...options,
  });
  return { block, peerCalls, externalCalls, forgotten };
}
