import t from 'tap';
import { createOperationTree } from '../../../../runtime/building-blocks/invoke/operation-tree.ts';

function tree(...names: string[]): (name: string) => string | undefined {
  const made = createOperationTree<string>();
  for (const name of names) made.put(name, name);
  return made.find;
}

t.test('names, and what lies below them', (t) => {
  const find = tree('/a', '/b/c', '/');
  t.same(['/a', '/a/x', '/a/x/y', '/b/c', '/b', '/c', '/b/d', '/'].map(find), [
    '/a',
    '/a',
    '/a',
    '/b/c',
    undefined,
    undefined,
    undefined,
    '/',
  ]);
  t.end();
});

t.test('a last segment * is one segment or none', (t) => {
  const find = tree('/a/*', '/b/*/c');
  t.same(['/a', '/a/x', '/a/x/y', '/b/x/c'].map(find), ['/a/*', '/a/*', undefined, undefined]);
  t.end();
});

t.test('a segment * in a name that is called matches like any other text', (t) => {
  t.equal(tree('/a/**')('/a/*/b'), '/a/**');
  t.equal(tree('/a/*')('/a/*/b'), undefined);
  t.end();
});

t.test('** is any number of segments', (t) => {
  const find = tree('/a/**', '/b/c/**');
  t.same(['/a/x', '/a/x/y/z', '/a', '/b/x'].map(find), ['/a/**', '/a/**', '/a/**', undefined]);
  t.end();
});

t.test('* within a segment', (t) => {
  const find = tree('/a*', '/*z', '/b*d*f', '/c.c');
  t.same(['/a', '/abc', '/xyz', '/bdf', '/b-d-f', '/bd', '/bf', '/cxc'].map(find), [
    '/a*',
    '/a*',
    '/*z',
    '/b*d*f',
    '/b*d*f',
    undefined,
    undefined,
    undefined,
  ]);
  t.equal(tree('/ab*ba')('/aba'), undefined, 'its ends do not overlap');
  t.equal(tree(`/${'a*'.repeat(30)}b`)(`/${'a'.repeat(50_000)}`), undefined, 'at once, whatever the name');
  t.end();
});

t.test('what was declared first wins, and a branch once taken is not left', (t) => {
  t.equal(tree('/a/*', '/a/b')('/a/b'), '/a/*');
  t.equal(tree('/a/b', '/a/*')('/a/b'), '/a/b');
  const twice = createOperationTree<number>();
  twice.put('/x', 1);
  twice.put('/x', 2);
  t.equal(twice.find('/x'), 1);
  t.equal(tree('/a*/b', '/ab/c')('/ab/c'), undefined);
  t.equal(tree('/op7/a/b/*', '/op7/a/b/c/f', '/op7/a/b*', '/op7/c/**')('/op7/a/b/c/f'), '/op7/a/b/c/f');
  t.end();
});
