/** Entry module of the writer thread when the sources run as they are (the bundle uses `runtime/main.ts`). */

import { isWriterThread, runWriterWorker } from '../../edge-components/drivers/sqlite/writer-worker.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';

if (isWriterThread()) runWriterWorker(systemClock());
