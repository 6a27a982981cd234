/** A channel over HTTP to an app that answers as a test says. */

import type { Test } from 'tap';
import { createHttpChannel, type HttpChannelOptions } from '../../runtime/app-channel/http-channel.ts';
import { fakeClock } from './fake-clock.ts';
import { type HttpApp, startHttpApp } from './http-app.ts';
import { recordingLogger } from './recording-logger.ts';

type Answer = Parameters<typeof startHttpApp>[0];

/** Closes both at the end of the test. */
export async function openHttpChannel(
  t: Test,
  answer: Answer,
  given: Partial<HttpChannelOptions> = {},
  create?: Parameters<typeof startHttpApp>[1],
) {
  const app: HttpApp = await startHttpApp(answer, create);
  const log = recordingLogger();
  const channel = createHttpChannel({
    protocol: 'http',
    address: '127.0.0.1',
    port: app.port,
    maxConcurrency: 0,
    appId: 'me',
    clock: fakeClock(),
    log,
    ...given,
  });
  t.teardown(async () => {
    await channel.close();
    await app.close();
  });
  return { app, channel, log };
}
