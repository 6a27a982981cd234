/** `middleware.http.bearer` with a local issuer: which tokens pass, how keys are found and renewed. */

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import t, { type Test } from 'tap';
import { createBearer } from '../../../edge-components/middleware/bearer/bearer.ts';
import { bearerMetadata } from '../../../edge-components/middleware/bearer/metadata.ts';
import type { HttpMiddleware } from '../../../runtime/contracts/http-middleware.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts';
import { type HttpTarget, httpTarget, type TargetAnswer } from '../../support/http-target.ts';
import { throughMiddleware } from '../../support/pipeline.ts';

interface Key {
  readonly kid: string;
  readonly secret: KeyObject;
  readonly jwk: Readonly<Record<string, unknown>>;
}

function makeKey(kid: string): Key {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    kid,
    secret: privateKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' },
  };
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function token(
  key: Key,
  claims: Readonly<Record<string, unknown>>,
  header: Readonly<Record<string, unknown>> = {},
): string {
  const text = `${part({ alg: 'ES256', kid: key.kid, ...header })}.${part(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key: key.secret, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

const FIRST = makeKey('k1');
const SECOND = makeKey('k2');

interface Rig {
  readonly issuer: HttpTarget;
  readonly middleware: HttpMiddleware;
  readonly clock: FakeClock;
  readonly keys: Key[];
  /** Answers of the issuer by path, instead of the normal ones. */
  readonly instead: Record<string, TargetAnswer>;
  claims(more?: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  status(authorization?: string): Promise<number>;
  asked(path: string): number;
}

async function rig(
  t: Test,
  items: (url: string) => Readonly<Record<string, string>> = () => ({}),
  prepare: (instead: Record<string, TargetAnswer>) => void = () => {},
): Promise<Rig> {
  const keys = [FIRST];
  const instead: Record<string, TargetAnswer> = {};
  prepare(instead);
  const issuer: HttpTarget = await httpTarget(({ url }) => {
    if (instead[url] !== undefined) return instead[url];
    if (url === '/.well-known/openid-configuration')
      return { body: JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }) };
    if (url === '/keys') return { body: JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }) };
    return { status: 404 };
  });
  const clock = fakeClock();
  const decoded = decodeMetadata(bearerMetadata, {
    issuerURL: issuer.url,
    clientID: 'edge',
    ...items(issuer.url),
  });
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const middleware = createBearer(decoded.value, componentDeps({ clock }));
  await middleware.init(new AbortController().signal);
  t.teardown(async () => {
    await middleware.close();
    await issuer.close();
  });
  return {
    issuer,
    middleware,
    clock,
    keys,
    instead,
    claims: (more = {}) => ({
      iss: issuer.url,
      aud: 'edge',
      exp: Math.floor(clock.now() / 1000) + 3600,
      ...more,
    }),
    status: async (authorization) => {
      const { status, reached } = await throughMiddleware(
        middleware,
        authorization === undefined ? {} : { headers: { authorization } },
      );
      if ((status === 200) !== (reached !== undefined))
        throw new Error(`status ${status}, yet reached: ${reached}`);
      return status;
    },
    asked: (path) => issuer.requests.filter(({ url }) => url === path).length,
  };
}

t.test('a token of the issuer for the audience passes, nothing else does', async (t) => {
  const { status, claims, clock } = await rig(t);
  const now = Math.floor(clock.now() / 1000);
  const bearer = (more = {}, header = {}): string => `Bearer ${token(FIRST, claims(more), header)}`;
  t.equal(await status(bearer()), 200);
  t.equal(await status(bearer().replace('Bearer', 'bEARER')), 200);
  t.equal(await status(bearer({ aud: ['other', 'edge'] })), 200);
  t.equal(await status(bearer({ exp: now - 299 })), 200, 'within the skew');
  t.equal(await status(bearer({ nbf: now + 299 })), 200);
  t.equal(await status(), 401);
  t.equal(await status('Basic abcdefghijklmnop'), 401);
  t.equal(await status('Bearer short'), 401);
  t.equal(await status('Bearer not-a-token-at-all'), 401);
  t.equal(await status(bearer({ aud: 'other' })), 401);
  t.equal(await status(bearer({ iss: 'http://other' })), 401);
  t.equal(await status(bearer({ exp: now - 301 })), 401);
  t.equal(await status(bearer({ nbf: now + 301 })), 401);
  t.equal(await status(`${bearer().slice(0, -4)}AAAA`), 401, 'broken signature');
  t.equal(await status(`Bearer ${part({ alg: 'none' })}.${part(claims())}.`), 401);
  t.equal(
    await status(`Bearer ${token({ ...SECOND, kid: 'k1' }, claims())}`),
    401,
    'another key under the known name',
  );
});

t.test('401 has the text that Dapr sends', async (t) => {
  const { middleware } = await rig(t);
  t.match(await throughMiddleware(middleware), {
    status: 401,
    body: 'Unauthorized',
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
});

t.test('an unknown key is looked for at most every ten minutes', async (t) => {
  const { status, claims, keys, clock, asked } = await rig(t);
  keys.push(SECOND);
  const other = `Bearer ${token(SECOND, claims({ exp: 4_000_000_000 }))}`;
  t.equal(asked('/keys'), 1);
  for (let i = 0; i < 20; i += 1) t.equal(await status(other), 401);
  t.equal(asked('/keys'), 1, 'too early to ask again');
  await clock.advance(600_000);
  const [a, b] = await Promise.all([status(other), status(other)]);
  t.strictSame([a, b], [200, 200]);
  t.equal(asked('/keys'), 2, 'asked once for both');
  t.equal(asked('/.well-known/openid-configuration'), 1, 'discovered once');
});

t.test('old keys stay in force while the issuer is away', async (t) => {
  const { status, claims, clock, issuer } = await rig(t);
  await issuer.close();
  await clock.advance(3_600_000);
  t.equal(await status(`Bearer ${token(FIRST, claims())}`), 200);
});

t.test('jwksURL makes discovery needless', async (t) => {
  const { status, claims, asked } = await rig(t, (url) => ({
    issuerURL: 'urn:someone',
    jwksURL: `${url}/keys`,
  }));
  t.equal(await status(`Bearer ${token(FIRST, claims({ iss: 'urn:someone' }))}`), 200);
  t.equal(asked('/.well-known/openid-configuration'), 0);
});

t.test('without keys nothing passes, until they can be read', async (t) => {
  const { status, claims, clock, instead } = await rig(t, undefined, (answers) => {
    answers['/keys'] = { status: 503 };
  });
  const good = `Bearer ${token(FIRST, claims())}`;
  t.equal(await status(good), 500);
  t.equal(await status(), 401, 'without a token it is not about keys');
  delete instead['/keys'];
  t.equal(await status(good), 500, 'too early to ask again');
  await clock.advance(5000);
  t.equal(await status(good), 200);
});

t.test('a document about another issuer is not believed', async (t) => {
  const { status, claims } = await rig(t, undefined, (answers) => {
    answers['/.well-known/openid-configuration'] = {
      body: '{"issuer":"http://evil","jwks_uri":"http://evil/keys"}',
    };
  });
  t.equal(await status(`Bearer ${token(FIRST, claims())}`), 500);
});

t.test('issuer and audience are required', async (t) => {
  const decoded = decodeMetadata(bearerMetadata, { jwksURL: 'nonsense' });
  t.match(decoded, {
    ok: false,
    faults: [/'issuer': is required/, /'audience': is required/, /'jwksURL': expected/],
  });
});
