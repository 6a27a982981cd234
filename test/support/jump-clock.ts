/**
 * Time that a test lets pass in a node it runs as a process: loaded before the node's own code (`NODE_OPTIONS=--import=...`), and
 * at every SIGUSR2 both its clocks jump, the elapsed time by JUMP_ELAPSED_MS, the wall clock by JUMP_WALL_MS.
 */

import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const jumps = {
    elapsed: Number(process.env['JUMP_ELAPSED_MS'] ?? '0'),
    wall: Number(process.env['JUMP_WALL_MS'] ?? '0'),
  };
  const gone = { elapsed: 0, wall: 0 };
  const clocks = { elapsed: performance.now.bind(performance), wall: Date.now.bind(Date) };
  Date.now = () => clocks.wall() + gone.wall;
  Object.defineProperty(performance, 'now', { value: () => clocks.elapsed() + gone.elapsed });
  process.on('SIGUSR2', () => {
    gone.elapsed += jumps.elapsed;
    gone.wall += jumps.wall;
  });
}
