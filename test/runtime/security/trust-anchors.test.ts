import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { fixedTrustAnchors, trustAnchorsFile } from '../../../runtime/security/trust-anchors.ts';
import { createAuthority } from '../../support/certificate-authority.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const one = createAuthority('one').certificate;
const other = createAuthority('two');
const two = other.certificate;

t.test('fixed anchors must be certificates and nothing else', async (t) => {
  t.equal(await fixedTrustAnchors(`${one}\n# comment\n${two}`).current(), `${one}\n# comment\n${two}`);
  t.throws(() => fixedTrustAnchors('nothing'), /failed to decode trust anchors: there is no certificate/);
  t.throws(() => fixedTrustAnchors(one + other.key), /more than certificates/);
  const broken = one.replace(/\nM.../, '\nAAAA');
  t.throws(() => fixedTrustAnchors(broken), /failed to decode trust anchors: certificate 1 cannot be read/);
});

t.test('a file is read again when it changes, and kept when it breaks', async (t) => {
  const file = join(t.testdir({}), 'ca.pem');
  const clock = fakeClock();
  const log = recordingLogger();
  const anchors = trustAnchorsFile(file, { clock, log });
  await t.rejects(anchors.current(), {
    message: /failed to read trust anchors file .*ca\.pem.*no such file or directory/,
  });
  writeFileSync(file, 'soon');
  await t.rejects(anchors.current(), { message: /failed to decode trust anchors file/ });
  writeFileSync(file, one);
  t.equal(await anchors.current(), one);
  writeFileSync(file, two);
  t.equal(await anchors.current(), two, 'nobody watches yet, so every reading is fresh');

  const heard: string[] = [];
  anchors.watch((pem) => heard.push(pem));
  const look = async (): Promise<void> => {
    await clock.advance(5000);
    while (clock.pending === 0) await turn();
  };
  await look();
  t.same(heard, []);
  writeFileSync(file, one);
  await look();
  t.same(heard, [one]);
  t.equal(await anchors.current(), one);
  writeFileSync(file, 'broken');
  await look();
  await look();
  rmSync(file);
  await look();
  t.same(heard, [one]);
  t.equal(await anchors.current(), one, 'what was good stays');
  const errors = log.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
  t.equal(errors.length, 2, 'each fault is said once');
  t.match(errors[0], /failed to decode .*; the trust anchors stay as they are/);
  t.match(errors[1], /failed to read/);
  writeFileSync(file, one + two);
  await look();
  t.equal(heard.at(-1), one + two);
  anchors.close();
  await clock.advance(60_000);
  t.equal(clock.pending, 0);
});
