/** Entry of the database writer's thread. A file of its own, so that the thread reads and keeps only what it runs. */

import { runWriterWorker } from '../edge-components/drivers/sqlite/writer-worker.ts';
import { systemClock } from './platform/system-clock.ts';

runWriterWorker(systemClock());
