/** `docs/operations.md` names every operation once, with all its routes and methods. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { OPERATIONS, type Operation } from '../../../runtime/contracts/operations.ts';

const text = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
const rows = text.split('\n').filter((line) => /^\| [a-z]\w+ +\|/.test(line));
const cells = new Map(
  rows.map((row) => row.split('|').map((cell) => cell.trim())).map((row) => [row[1], row]),
);

t.equal(rows.length, Object.keys(OPERATIONS).length, 'a row per operation');
for (const [key, { http, grpc }] of Object.entries(OPERATIONS as Readonly<Record<string, Operation>>)) {
  const row = cells.get(key) ?? [];
  const routes = http.map(({ methods, path }) => `\`${methods.join('/')} ${path}\``).join('<br>');
  t.equal(row[2], routes, `${key}: HTTP routes`);
  t.equal(row[3], grpc.map(({ method }) => `\`${method}\``).join('<br>'), `${key}: gRPC methods`);
  t.match(row[4], /^(?:yes|partly|no)$/, `${key}: support`);
}
