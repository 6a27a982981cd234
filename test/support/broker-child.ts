/** A broker in a process of its own, to be killed: `node broker-child.ts <folder>` prints its port. */

import { startRig } from '../edge-components/broker/broker-rig.ts';

const rig = await startRig(process.argv[2] ?? '');
process.stdout.write(`${rig.port}\n`);
