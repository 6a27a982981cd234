import t from 'tap';
import { goJson, jsonText } from '../../../runtime/contracts/go-json.ts';

t.test('members are sorted, text is compact, numbers are those of a double', async (t) => {
  const given = JSON.parse('{ "n":9007199254740993, "f":1.0, "e":1e21, "b":[ 1 , {"z":null,"a":true} ] }');
  t.equal(goJson(given), '{"b":[1,{"a":true,"z":null}],"e":1e+21,"f":1,"n":9007199254740992}');
});

t.test('characters that HTML and JavaScript trip over are escaped', async (t) => {
  t.equal(goJson('<b>&"é😀\u2028'), '"\\u003cb\\u003e\\u0026\\"é😀\\u2028"');
  t.equal(jsonText('plain'), '"plain"');
});

t.test('a missing value is null; odd member names are kept', async (t) => {
  t.equal(goJson(undefined), 'null');
  t.equal(goJson(JSON.parse('{"__proto__":1,"":2}')), '{"":2,"__proto__":1}');
  t.equal(goJson({}), '{}');
});
