/** What a component may use of the node, for tests: parts not given fail when they are touched. */

import type { ComponentDeps } from '../../runtime/contracts/component.ts';
import { countingIds } from './counting-ids.ts';
import { fakeClock } from './fake-clock.ts';
import { recordingLogger } from './recording-logger.ts';
import { seededRandom } from './seeded-random.ts';

export function componentDeps(given: Partial<ComponentDeps> = {}): ComponentDeps {
  const absent = (part: string): never => {
    throw new Error(`this test gave no ${part}`);
  };
  return {
    componentName: 'test',
    appId: 'app',
    namespace: '',
    clock: fakeClock(),
    ids: countingIds(),
    random: seededRandom(1),
    log: recordingLogger(),
    metrics: { count: () => undefined, observe: () => undefined, gauge: () => undefined },
    databases: {
      open: () => absent('databases'),
      system: () => absent('databases'),
      close: async () => undefined,
    },
    broker: { owns: () => false, connect: () => absent('broker'), status: () => absent('broker') },
    spools: { open: () => absent('spools'), list: async () => [] },
    env: {},
    endpoint: async () => undefined,
    nodeKey: async () => new Uint8Array(32).fill(7),
    ...given,
  };
}
