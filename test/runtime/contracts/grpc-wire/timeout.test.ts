import t from 'tap';
import { formatTimeout, parseTimeout } from '../../../../runtime/contracts/grpc-wire/timeout.ts';

t.test('units', async (t) => {
  const cases = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['4m', 4],
    ['5u', 0.005],
    ['0S', 0],
    ['99999999m', 99_999_999],
  ] as const;
  for (const [text, ms] of cases) t.equal(parseTimeout(text), ms, text);
  t.equal((parseTimeout('6n') ?? 0).toFixed(9), '0.000006000');
});

t.test('what is no timeout', async (t) => {
  for (const text of ['', 'S', '1', '1s', '-1S', '1.5S', '123456789S', ' 1S', '1SS'])
    t.equal(parseTimeout(text), undefined, text);
});

t.test('the finest unit that fits, rounded up', async (t) => {
  const cases = [
    [1, '1000u'],
    [0.0001, '1u'],
    [99_999, '99999000u'],
    [100_000, '100000m'],
    [1e9, '1000000S'],
    [0, '0m'],
    [-5, '0m'],
    [1e20, '99999999H'],
  ] as const;
  for (const [ms, text] of cases) t.equal(formatTimeout(ms), text);
});
