import t from 'tap';
import { compileTrip } from '../../../runtime/resiliency/trip-expression.ts';

const counts = {
  requests: 10,
  totalSuccesses: 4,
  totalFailures: 6,
  consecutiveSuccesses: 0,
  consecutiveFailures: 3,
};

t.test('conditions over the counters', async (t) => {
  const cases: readonly [string, boolean][] = [
    ['consecutiveFailures > 2', true],
    ['consecutiveFailures > 3', false],
    ['consecutiveFailures>=3', true],
    ['totalFailures > 5 && requests > 20', false],
    ['totalFailures > 5 || requests > 20', true],
    ['!(totalFailures > 5)', false],
    ['totalFailures * 100 / requests > 50', true],
    ['totalFailures / requests == 0', true],
    ['double(totalFailures) / double(requests) > 0.55', true],
    ['int(2.9) == 2 && -1 < requests % 3', true],
    ['consecutiveFailures / consecutiveSuccesses > 0', false],
    ['true || false && false', true],
  ];
  for (const [text, expected] of cases) t.equal(compileTrip(text)(counts), expected, text);
});

t.test('what is wrong is named', async (t) => {
  const cases: readonly [string, RegExp][] = [
    ['consecutiveFailure > 2', /unknown name 'consecutiveFailure'/],
    ['consecutiveFailures', /is not a condition/],
    ['requests > ', /unexpected end/],
    ['requests > 1 &&& true', /unexpected character at position/],
    ['requests + 1.5 > 2.0', /mixes int and double/],
    ['(requests > 1', /missing '\)'/],
    ['requests && true', /need conditions/],
    ['requests > true', /compares a number with a condition/],
    ['requests > 1 2', /unexpected '2'/],
    [`${'('.repeat(40)}true${')'.repeat(40)}`, /too many nested parentheses/],
    [`requests > ${'1'.repeat(2000)}`, /longer than 1024/],
  ];
  for (const [text, expected] of cases) t.throws(() => compileTrip(text), { message: expected }, text);
});
