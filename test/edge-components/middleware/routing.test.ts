/** `middleware.http.routeralias` and `middleware.http.routerchecker`. */

import t from 'tap';
import { parseRouteMap } from '../../../edge-components/middleware/routeralias/route-map.ts';
import { createRouterAlias } from '../../../edge-components/middleware/routeralias/router-alias.ts';
import { compileGoPattern } from '../../../edge-components/middleware/routerchecker/go-pattern.ts';
import { createRouterChecker } from '../../../edge-components/middleware/routerchecker/router-checker.ts';
import { throughMiddleware } from '../../support/pipeline.ts';

const ROUTES = JSON.stringify({
  '/hello': '/v1.0/invoke/a/method/echo',
  '/items/{id}': '/v1.0/invoke/a/method/item',
  '/n/{n:[0-9]{2,}}/{rest:.*}': '/v1.0/invoke/a/method/n?from=alias',
});

t.test('routeralias', async (t) => {
  const alias = createRouterAlias(ROUTES);
  const target = async (path: string, query = ''): Promise<string> => {
    const { reached } = await throughMiddleware(alias, { path, query });
    return `${reached?.path}${reached?.query === '' ? '' : `?${reached?.query}`}`;
  };
  t.equal(await target('/hello'), '/v1.0/invoke/a/method/echo');
  t.equal(await target('/hello', 'b=2&a=%20'), '/v1.0/invoke/a/method/echo?b=2&a=%20', 'query byte for byte');
  t.equal(await target('/items/42', 'x=1'), '/v1.0/invoke/a/method/item?id=42&x=1', 'sorted by name');
  t.equal(await target('/items/a%20b'), '/v1.0/invoke/a/method/item?id=a+b');
  t.equal(await target('/items/42/more'), '/items/42/more', 'a variable is one segment');
  t.equal(await target('/items/'), '/items/');
  t.equal(await target('/n/12/x/y'), '/v1.0/invoke/a/method/n?from=alias&n=12&rest=x%2Fy');
  t.equal(await target('/n/1/x'), '/n/1/x');
  t.equal(await target('/other', 'q=1'), '/other?q=1');
  t.equal(await target('/bad%path'), '/bad%path');
  t.equal(await target('/helloX'), '/helloX');
});

t.test('routes as JSON or YAML lines', async (t) => {
  const wanted = [
    ['/a', '/b'],
    ['/c/{d}', '/e'],
  ];
  t.strictSame(parseRouteMap('{"/a": "/b", "/c/{d}": "/e"}'), wanted);
  t.strictSame(parseRouteMap('# routes\n/a: /b   # first\n"/c/{d}": \'/e\'\r\n\n'), wanted);
  t.strictSame(parseRouteMap('---\n  /a: "/b"\n  /c/{d}: /e\n'), wanted);
  t.strictSame(parseRouteMap('  '), []);
  for (const bad of ['nonsense', '{"/a": 5}', '{"a": "/b"}', '{"/a": "b"}', '{"/a"', '/a /b'])
    t.throws(
      () => createRouterAlias(bad),
      { message: /metadata item 'routes': expected a JSON or YAML map/ },
      bad,
    );
});

t.test('routerchecker looks at path and query', async (t) => {
  const checker = createRouterChecker('^[A-Za-z0-9/._-]+$');
  t.equal((await throughMiddleware(checker, { path: '/v1.0/healthz' })).status, 200);
  const refused = await throughMiddleware(checker, { path: '/bad$path' });
  t.match(refused, {
    status: 400,
    body: 'invalid router',
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
  t.equal(refused.reached, undefined);
  t.equal((await throughMiddleware(checker, { path: '/v1.0/metadata', query: 'x=1' })).status, 400);
  t.equal((await throughMiddleware(createRouterChecker(''), { path: '/anything' })).status, 200);
  t.throws(() => createRouterChecker('(['), {
    message: /metadata item 'rule': expected a regular expression/,
  });
});

t.test('spellings of Go', async (t) => {
  t.ok(compileGoPattern('(?i)^/API$').test('/api'));
  t.ok(compileGoPattern('\\A/[[:alpha:]]+/[[:digit:]]+\\z').test('/a/1'));
  t.notOk(compileGoPattern('\\A/[[:alpha:]]+\\z').test('/a1'));
  t.ok(compileGoPattern('(?P<app>[^/]+)$').test('x'));
});
