import t from 'tap';
import { baggageFault, formatBaggage, parseBaggage } from '../../../runtime/contracts/baggage.ts';

/** Texts and messages recorded from daprd 1.18.3. */
const FAULTS: Readonly<Record<string, string>> = {
  bad: 'invalid baggage list-member: "bad"',
  'k=v,': 'invalid baggage list-member: ""',
  'k=a%zz': 'invalid value: invalid URL escape "%zz"',
  'k=a%z': 'invalid value: invalid URL escape "%z"',
  '=v': 'invalid key: ""',
  'k="v"': 'invalid value: "\\"v\\""',
  'k v=1': 'invalid key: "k v"',
  'k=1 2': 'invalid value: "1 2"',
  'k=a\\b': 'invalid value: "a\\\\b"',
  ',': 'invalid baggage list-member: ""\ninvalid baggage list-member: ""',
  'k=v;=x': 'invalid baggage list-member property: "=x"',
  'k=v;p=1 2': 'invalid baggage list-member property: "p=1 2"',
};

t.test('what is wrong is told as daprd tells it', (t) => {
  for (const [text, fault] of Object.entries(FAULTS)) t.equal(baggageFault(text), fault, text);
  const umlaut = Buffer.from('k=ü').toString('latin1');
  t.equal(baggageFault(umlaut), 'invalid value: "ü"');
  t.end();
});

t.test('good baggage gets its canonical text', (t) => {
  const canonical: Readonly<Record<string, string>> = {
    '': '',
    'k=v': 'k=v',
    'k= v ;p': 'k=v;p',
    'k=v;': 'k=v;',
    'k=v,k=w': 'k=w',
    'k=v=w': 'k=v=w',
    'k=': 'k=',
    'k=x%2Cy': 'k=x%2Cy',
    'k=caf%C3%A9': 'k=caf%C3%A9',
    'k=%C3%28': 'k=%EF%BF%BD(',
    'k=a!b': 'k=a!b',
    'a=1 , b = 2': 'a=1,b=2',
    'x=a%20b;p=1': 'x=a%20b;p=1',
  };
  for (const [text, expected] of Object.entries(canonical)) {
    const parsed = parseBaggage(text);
    t.equal(parsed.fault === undefined ? formatBaggage(parsed.members) : parsed.fault, expected, text);
  }
  t.end();
});

t.test('limits hold', (t) => {
  const members = (count: number): string => Array.from({ length: count }, (_, i) => `k${i}=v`).join(',');
  t.equal(baggageFault(members(64)), undefined);
  t.equal(baggageFault(members(65)), 'too many list-members in baggage-string');
  t.equal(baggageFault(`k=${'v'.repeat(8191)}`), 'baggage-string too large: 8193');
  t.match(baggageFault('a,b,c,d,e,f,g'), /\nand 2 more invalid member\(s\)$/);
  t.end();
});
