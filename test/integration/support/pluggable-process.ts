/** The tests' pluggable component as a process: `node pluggable-process.ts <socket>`. */

import { rmSync } from 'node:fs';
import { startPluggable } from '../../support/pluggable-component.ts';

const [socket = ''] = process.argv.slice(2);
// A killed predecessor leaves its socket behind.
rmSync(socket, { force: true });
await startPluggable({ socket, pubsubFeatures: ['BULK_PUBSUB'] });
