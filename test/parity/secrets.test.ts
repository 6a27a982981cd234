/** Secrets over HTTP and over gRPC (HTTP reference 12, gRPC reference 2.5). */

import t from 'tap';
import {
  GetBulkSecretRequestSchema,
  GetBulkSecretResponseSchema,
  GetSecretRequestSchema,
  GetSecretResponseSchema,
} from '../../runtime/generated/dapr/proto/runtime/v1/secret_pb.ts';
import { loaded } from '../support/block-rig.ts';
import {
  DONE,
  FOUND,
  failure,
  httpOutcome,
  type ParityCase,
  type ParityRequest,
  runCases,
} from './support/cases.ts';
import { grpcOutcome } from './support/grpc-call.ts';
import { type HttpAnswer, metadataQuery } from './support/http-client.ts';
import { type ParityRig, startParity } from './support/rig.ts';

const SECRETS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plain: { plain: 'p' },
  several: { user: 'u', password: '"<&>"' },
  hidden: { hidden: 'h' },
};
/** Answers with the metadata of the request too, where there is any. */
const vault = {
  features: [],
  get: async (name: string, metadata: Readonly<Record<string, string>>) => {
    const found = SECRETS[name];
    if (found === undefined) throw new Error(`secret ${name} not found`);
    return { ...found, ...metadata };
  },
  bulkGet: async () => SECRETS,
};
const silent = { features: [], get: async () => undefined, bulkGet: async () => undefined };
const broken = { ...vault, bulkGet: async () => Promise.reject(new Error('sealed')) };
const scope = (storeName: string, more: object) => ({
  storeName,
  allowedSecrets: [],
  deniedSecrets: [],
  defaultAccess: 'allow' as const,
  ...more,
});
const rig = await startParity(t, {
  components: () => [
    loaded('secretstores', 'vault', vault),
    loaded('secretstores', 'picky', vault),
    loaded('secretstores', 'closed', vault),
    loaded('secretstores', 'silent', silent),
    loaded('secretstores', 'broken', broken),
  ],
  secretScopes: [
    scope('vault', { deniedSecrets: ['hidden'] }),
    scope('picky', { allowedSecrets: ['plain'] }),
    scope('closed', { defaultAccess: 'deny' }),
  ],
});

const data = ({ status, text }: HttpAnswer): unknown => (status === 204 ? {} : JSON.parse(text));

function secretRequests({ http, grpc }: ParityRig) {
  return {
    get: (storeName: string, key: string, metadata: Record<string, string> = {}): ParityRequest => ({
      http: () =>
        httpOutcome(http.send({ path: `/v1.0/secrets/${storeName}/${key}${metadataQuery(metadata)}` }), data),
      grpc: () =>
        grpcOutcome(
          grpc,
          'GetSecret',
          [GetSecretRequestSchema, GetSecretResponseSchema],
          { storeName, key, metadata },
          (answer) => answer.data,
        ),
    }),
    bulk: (storeName: string): ParityRequest => ({
      http: () => httpOutcome(http.send({ path: `/v1.0/secrets/${storeName}/bulk` }), data),
      grpc: () =>
        grpcOutcome(
          grpc,
          'GetBulkSecret',
          [GetBulkSecretRequestSchema, GetBulkSecretResponseSchema],
          { storeName },
          (answer) =>
            Object.fromEntries(Object.entries(answer.data).map(([key, { secrets }]) => [key, secrets])),
        ),
    }),
  };
}
const { get, bulk } = secretRequests(rig);

const unknownStore = failure(
  [401, 'ERR_SECRET_STORE_NOT_FOUND'],
  ['InvalidArgument'],
  'failed finding secret store with key nope',
);
const denied = (store: string, key: string) =>
  failure(
    [403, 'ERR_PERMISSION_DENIED'],
    ['PermissionDenied'],
    `access denied by policy to get "${key}" from "${store}"`,
  );
const failed = (text: string) => failure([500, 'ERR_SECRET_GET'], ['Internal'], text);

const cases: readonly ParityCase[] = [
  { name: 'one value', request: get('vault', 'plain'), ...FOUND, same: { plain: 'p' } },
  {
    name: 'several values',
    request: get('vault', 'several'),
    ...FOUND,
    same: { user: 'u', password: '"<&>"' },
  },
  {
    name: 'metadata reach the store',
    request: get('vault', 'plain', { version_id: '3' }),
    ...FOUND,
    same: { plain: 'p', version_id: '3' },
  },
  { name: 'a store that answers nothing', request: get('silent', 'plain'), ...DONE, same: {} },
  {
    name: 'a missing secret',
    request: get('vault', 'nope'),
    ...failed('failed getting secret with key nope from secret store vault: secret nope not found'),
  },
  { name: 'a denied secret', request: get('vault', 'hidden'), ...denied('vault', 'hidden') },
  {
    name: 'a secret that is not on the list',
    request: get('picky', 'several'),
    ...denied('picky', 'several'),
  },
  { name: 'a secret on the list', request: get('picky', 'plain'), ...FOUND, same: { plain: 'p' } },
  {
    name: 'a denied secret that does not exist',
    request: get('closed', 'nope'),
    ...denied('closed', 'nope'),
  },
  { name: 'an unknown store', request: get('nope', 'plain'), ...unknownStore },
  {
    name: 'all secrets that are not denied',
    request: bulk('vault'),
    ...FOUND,
    same: { plain: { plain: 'p' }, several: { user: 'u', password: '"<&>"' } },
  },
  { name: 'all secrets on the list', request: bulk('picky'), ...FOUND, same: { plain: { plain: 'p' } } },
  { name: 'all secrets, none allowed', request: bulk('closed'), ...FOUND, same: {} },
  { name: 'all secrets of a store that answers nothing', request: bulk('silent'), ...DONE, same: {} },
  { name: 'all secrets of an unknown store', request: bulk('nope'), ...unknownStore },
  {
    name: 'all secrets of a store that fails',
    request: bulk('broken'),
    ...failed('failed getting secrets from secret store broken: sealed'),
  },
];

runCases(t, cases);

t.test('without any secret store', async (t) => {
  const { get, bulk } = secretRequests(await startParity(t));
  const none = failure(
    [500, 'ERR_SECRET_STORES_NOT_CONFIGURED'],
    ['FailedPrecondition'],
    'secret store is not configured',
  );
  runCases(t, [
    { name: 'get', request: get('nope', 'plain'), ...none },
    { name: 'bulk get', request: bulk('nope'), ...none },
  ]);
});
