/**
 * One quickstart from its README: the steps in their order, each command as it stands there. What the reader is told to see
 * must be printed. A step that changes something while the app runs is done while it runs.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ReadmeStep, readSteps } from './read-steps.ts';
import { type Typed, type } from './terminal.ts';

/** We write log files where a run file asks for them. */
const NOT_OURS = ['Writing log files to directory'];

/** The reader's update must come after it; the SDK of JavaScript does not say it. */
const SUBSCRIBED = /App subscribed to config|Subscription ID/;
/** An app that has ended need not be stopped. */
const OVER = 'Exited App successfully';

const SETTLE_MS = 2000;
const INSTALL_LIMIT_MS = 300_000;
const RUN_LIMIT_MS = 120_000;
const STOP_LIMIT_MS = 30_000;

export interface Outcome {
  readonly failures: readonly string[];
  /** Commands run and lines found. */
  readonly checks: number;
  readonly output: string;
}

/** What is seen only when a change made beside the running app has reached it. */
interface Change {
  readonly step: ReadmeStep;
  readonly when: RegExp;
  readonly seen: string;
}

function changeIn(steps: readonly ReadmeStep[]): Change | undefined {
  const step = steps.find(({ name }) => name === 'Update config items');
  return step === undefined ? undefined : { step, when: /orderId2/, seen: 'Configuration update' };
}

/** Runs the README of `folder`; `before` each step the stand-ins may look at what has happened. */
export async function runQuickstart(
  folder: string,
  env: NodeJS.ProcessEnv,
  before: () => void,
): Promise<Outcome> {
  const steps = readSteps(readFileSync(join(folder, 'README.md'), 'utf8'));
  const change = changeIn(steps);
  const failures: string[] = [];
  const outputs: string[] = [];
  let checks = 0;
  const check = (what: string, holds: boolean): void => {
    checks += 1;
    if (!holds) failures.push(what);
  };
  const toEnd = async ({ name, folder: place }: ReadmeStep, commands: string): Promise<Typed> => {
    const typed = type(commands, join(folder, place), env);
    await typed.until(() => false, INSTALL_LIMIT_MS);
    outputs.push(`--- ${name}\n$ ${commands}\n${typed.output()}`);
    check(`${name}: exit code ${typed.code()}`, typed.code() === 0);
    await typed.interrupt();
    return typed;
  };
  for (const step of steps) {
    if (step === change?.step) continue;
    before();
    const [commands = '', ...following] = step.commands;
    if (!/^\s*dapr run /m.test(commands)) {
      const { output } = await toEnd(step, commands);
      for (const line of step.expected) check(`${step.name}: no "${line}"`, output().includes(line));
      continue;
    }
    const expected = [...step.expected, ...(change === undefined ? [] : [change.seen])].filter(
      (line) => !NOT_OURS.includes(line),
    );
    const typed = type(commands, join(folder, step.folder), env);
    const missing = (): readonly string[] => expected.filter((line) => !typed.output().includes(line));
    if (change !== undefined) {
      await typed.until(() => change.when.test(typed.output()), RUN_LIMIT_MS);
      // The app subscribes some seconds after it has read the items; so long the reader needs, too.
      await typed.until(() => SUBSCRIBED.test(typed.output()), 6_000);
      for (const again of change.step.commands) await toEnd(change.step, again);
    }
    await typed.until(() => missing().length === 0, RUN_LIMIT_MS);
    // What was only begun when the last line was printed.
    await typed.until(() => false, SETTLE_MS);
    for (const stop of following) {
      if (!typed.output().includes(OVER)) await toEnd({ ...step, name: `${step.name}, stop` }, stop);
    }
    if (following.length > 0) await typed.until(() => false, STOP_LIMIT_MS);
    await typed.interrupt();
    outputs.push(`--- ${step.name}\n$ ${commands}\n${typed.output()}`);
    for (const line of expected) check(`${step.name}: no "${line}"`, typed.output().includes(line));
  }
  return { failures, checks, output: outputs.join('\n') };
}
