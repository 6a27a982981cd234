import t from 'tap';
import { atLevel } from '../../../runtime/platform/log-level.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

t.test('a sidecar that wants less than its node logs less, in every scope', async (t) => {
  const log = recordingLogger();
  const quiet = atLevel(log, 'warn', 'debug');
  quiet.info('no');
  quiet.child('scope').debug('no');
  quiet.warn('yes');
  quiet.child('scope').child('deeper').error('yes');
  t.strictSame(
    log.lines.map(({ level, message }) => [level, message]),
    [
      ['warn', 'yes'],
      ['error', 'yes'],
    ],
  );
  t.equal(atLevel(log, 'debug', 'info'), log, 'what the node does not write cannot be asked for');
});
