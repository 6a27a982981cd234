// Every field of every request, spoilt in every way that a table knows: each is answered as `test/fields/answers.json` has it.
// SKERRY_RECORD_FIELDS=1 writes that file anew; what it then has was compared with daprd 1.18.3 (docs/robustness.md).

import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { type FieldAnswer, type FieldAnswers, grpcAnswers, httpAnswers } from '../fields/exchange.ts';
import { everyKind } from '../fuzz/support/rig.ts';
import { nodesDirectory, startSidecar } from './support/node-process.ts';

/** By operation or method: how most of its requests are answered, and the others. */
type Recorded = Readonly<Record<string, { readonly usual: string } & Readonly<Record<string, string>>>>;

const FILE = new URL('../fields/answers.json', import.meta.url);

function grouped(answers: FieldAnswers): Recorded {
  const groups = new Map<string, Map<string, string>>();
  for (const [name, { outcome }] of answers) {
    const [owner = '', what = ''] = name.split(' | ');
    const group = groups.get(owner) ?? new Map<string, string>();
    groups.set(owner, group.set(what, outcome));
  }
  return Object.fromEntries(
    [...groups].map(([owner, outcomes]) => {
      const counts = new Map<string, number>();
      for (const outcome of outcomes.values()) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
      const [[usual] = ['']] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
      const others = [...outcomes].filter(([, outcome]) => outcome !== usual);
      return [owner, { usual, ...Object.fromEntries(others) }];
    }),
  );
}

/** The member that a request spoils, by the name of the request; none when it is the whole body, or an item of a list. */
function spoiltMember(what: string): string | undefined {
  // A path with `..` in it is another path.
  const place = what.endsWith('".."') ? '' : (/^(?<place>.+?): /.exec(what)?.groups?.['place'] ?? '');
  const member = place.split('.').findLast((part) => !/^\d+$/.test(part));
  return member === 'body' || member === 'message' ? undefined : member;
}

/** Answers that say what is wrong with the form of a request must say where; these faults have no place but the body. */
function namesItsField(name: string, { outcome, text }: FieldAnswer): boolean {
  const member = spoiltMember(name.split(' | ')[1] ?? '');
  const aboutForm = outcome.endsWith('ERR_MALFORMED_REQUEST') || text.includes('error unmarshalling');
  return !aboutForm || member === undefined || text.toLowerCase().includes(member.toLowerCase());
}

t.test('every field of every request', async (t) => {
  const directory = nodesDirectory(t);
  const node = await startSidecar(t, {
    appId: 'fields',
    resources: join(directory, 'no-resources') && everyKind(directory),
    args: ['--log-level=error'],
  });
  const http = await httpAnswers(node.ports.http);
  const grpc = await grpcAnswers(node.ports.grpc);
  const found = { http: grouped(http), grpc: grouped(grpc) };
  if (process.env['SKERRY_RECORD_FIELDS'] === '1') writeFileSync(FILE, `${JSON.stringify(found, null, 2)}\n`);
  const recorded = JSON.parse(await readFile(FILE, 'utf8')) as typeof found;
  for (const side of ['http', 'grpc'] as const) {
    t.strictSame(Object.keys(found[side]), Object.keys(recorded[side]), `${side}: the operations`);
    for (const [owner, outcomes] of Object.entries(found[side]))
      t.strictSame(outcomes, recorded[side][owner], `${side}: ${owner}`);
  }
  for (const [name, { outcome, text }] of [...http, ...grpc]) {
    if (/no answer|no status/.test(outcome)) t.fail(`${name}: ${outcome}: ${text}`);
    t.ok(namesItsField(name, { outcome, text }), `${name}: the answer names the field: ${text}`);
  }
  t.notMatch(node.output(), /unexpected failure|could not be sent|TypeError/, 'nothing that nobody foresaw');
  await node.stop();
});
