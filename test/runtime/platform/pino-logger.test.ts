import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pinoLogger } from '../../../runtime/platform/pino-logger.ts';
import { until } from '../../integration/support/until.ts';

const written = async (t: Test, asJson: boolean): Promise<readonly string[]> => {
  const file = join(t.testdir(), 'log');
  const log = pinoLogger({ level: 'info', asJson, file, appId: 'node', instance: 'host', version: '1.18.3' });
  log.info('a "quoted" word', { duration: 3 });
  log.debug('not at this level');
  const child = log.child('dapr.contrib', { app_id: 'app', component: 'nr (mdns/v1)' });
  child.warn('trouble', { error: new Error('why') });
  child.child('dapr.other').error('deep');
  return until('three lines', () => {
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
    return lines.length > 3 ? lines.slice(0, -1) : undefined;
  });
};

t.test('lines of text are those of logrus', async (t) => {
  const lines = await written(t, false);
  const time = /^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z" /;
  t.ok(lines.every((line) => time.test(line)));
  t.strictSame(
    lines.map((line) => line.replace(time, '')),
    [
      'level=info msg="a \\"quoted\\" word" app_id=node duration=3 instance=host scope=dapr.runtime type=log ver=1.18.3',
      'level=warning msg="trouble" app_id=app component="nr (mdns/v1)" error=why instance=host scope=dapr.contrib type=log ver=1.18.3',
      'level=error msg="deep" app_id=app component="nr (mdns/v1)" instance=host scope=dapr.other type=log ver=1.18.3',
    ],
  );
});

t.test('lines of JSON have every field once', async (t) => {
  const lines = await written(t, true);
  for (const line of lines) {
    const names = [...line.matchAll(/"(\w+)":/g)].map(([, name]) => name);
    t.equal(new Set(names).size, names.length, line);
  }
  const { time, ...rest } = JSON.parse(lines[1] ?? '');
  t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
  t.strictSame(rest, {
    level: 'warning',
    app_id: 'app',
    instance: 'host',
    type: 'log',
    ver: '1.18.3',
    component: 'nr (mdns/v1)',
    scope: 'dapr.contrib',
    error: 'why',
    msg: 'trouble',
  });
});
