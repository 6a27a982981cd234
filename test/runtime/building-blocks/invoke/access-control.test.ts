import t from 'tap';
import {
  type AccessControl,
  type AccessedOperation,
  createAccessCheck,
} from '../../../../runtime/building-blocks/invoke/access-control.ts';
import { parseSpiffeId } from '../../../../runtime/contracts/spiffe.ts';
import { type RecordedLine, recordingLogger } from '../../../support/recording-logger.ts';

const caller = parseSpiffeId('spiffe://public/ns/default/caller');

function setUp(control: Partial<AccessControl>) {
  const counted: string[] = [];
  const lines: RecordedLine[] = [];
  const check = createAccessCheck(
    { defaultAction: '', trustDomain: 'public', policies: [], ...control },
    {
      count: (name, labels) => void counted.push(`${name} ${Object.values(labels).join(' ')}`),
      observe: () => {},
      gauge: () => {},
    },
    recordingLogger(lines),
  );
  const allows = (operation: Partial<AccessedOperation> = {}, id: typeof caller | 'nobody' = caller) =>
    check(id === 'nobody' ? undefined : id, { name: 'op', verb: 'GET', http: true, ...operation }) ===
    undefined;
  return { check, allows, counted, lines };
}

function policy(
  operations: AccessControl['policies'][number]['operations'],
  given: Partial<AccessControl['policies'][number]> = {},
) {
  return {
    appId: 'caller',
    namespace: 'default',
    trustDomain: 'public',
    defaultAction: 'deny',
    operations,
    ...given,
  };
}

t.test('the global default action', (t) => {
  t.ok(setUp({}).allows(), 'nothing said, nothing denied');
  t.notOk(setUp({ policies: [policy([])] }).allows({}, 'nobody'), 'with policies the default is to deny');
  t.ok(setUp({ defaultAction: 'Allow', policies: [policy([])] }).allows({}, 'nobody'), 'no identity');
  const other = parseSpiffeId('spiffe://public/ns/default/other');
  t.notOk(setUp({ defaultAction: 'deny', policies: [policy([])] }).allows({}, other));
  t.end();
});

t.test('a policy is for one app of one namespace and trust domain', (t) => {
  const { allows } = setUp({
    defaultAction: 'deny',
    policies: [policy([], { defaultAction: 'allow' })],
  });
  t.ok(allows());
  for (const id of [
    'spiffe://public/ns/default/callers',
    'spiffe://public/ns/other/caller',
    'spiffe://private/ns/default/caller',
  ])
    t.notOk(allows({}, parseSpiffeId(id)), id);
  t.end();
});

t.test('operations and verbs of HTTP apps', (t) => {
  const { allows } = setUp({
    defaultAction: 'allow',
    policies: [
      policy([
        { name: 'Orders', httpVerb: ['GET', 'PUT'], action: 'allow' },
        { name: '/any', httpVerb: ['*'], action: 'allow' },
        { name: '/none', httpVerb: [], action: 'allow' },
      ]),
    ],
  });
  t.ok(allows({ name: 'orders' }));
  t.ok(allows({ name: 'ORDERS', verb: 'PUT' }), 'without regard to case');
  t.notOk(allows({ name: 'orders', verb: 'POST' }));
  t.ok(allows({ name: 'any', verb: 'DELETE' }));
  t.notOk(allows({ name: 'none' }), 'no verb listed, none allowed');
  t.notOk(allows({ name: 'any', verb: 'NONE' }), 'a call without verb gets the default of the app');
  t.notOk(allows({ name: 'orderly' }));
  t.end();
});

t.test('operations of gRPC apps have no verbs, and case counts', (t) => {
  const { allows } = setUp({
    defaultAction: 'allow',
    policies: [policy([{ name: '/pkg.Service/Get', httpVerb: [], action: 'allow' }])],
  });
  const grpc = { http: false, verb: 'NONE' };
  t.ok(allows({ ...grpc, name: '/pkg.Service/Get' }));
  t.notOk(allows({ ...grpc, name: '/pkg.Service/get' }));
  t.notOk(allows({ ...grpc, name: '/pkg.Service/Set' }));
  t.end();
});

t.test('the text of a refusal, and what is counted', (t) => {
  const { check, counted } = setUp({
    defaultAction: 'allow',
    policies: [policy([{ name: '/a', httpVerb: ['*'], action: 'allow' }])],
  });
  const operation = { name: 'b', verb: 'GET', http: true };
  t.equal(
    check(caller, operation),
    'access control policy has denied access to id: spiffe://public/ns/default/caller operation: b verb: GET',
  );
  t.equal(check(caller, { ...operation, name: 'a' }), undefined);
  t.equal(check(undefined, operation), undefined);
  t.equal(
    check(parseSpiffeId('spiffe://public/robot'), operation),
    'malformed SPIFFE ID: spiffe://public/robot',
  );
  t.same(counted, [
    'runtime_acl_app_policy_action_blocked_total caller default public',
    'runtime_acl_app_policy_action_allowed_total caller default public',
    'runtime_acl_global_policy_action_allowed_total   ',
  ]);
  t.end();
});

t.test('a refusal is a line of the log for those who look for it', (t) => {
  const { allows, lines } = setUp({ defaultAction: 'deny' });
  t.notOk(allows());
  t.match(lines, [
    { level: 'debug', message: /^access control policy has denied access to id: spiffe:.* verb: GET$/ },
  ]);
  t.end();
});
