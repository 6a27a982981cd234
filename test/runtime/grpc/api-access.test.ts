import t from 'tap';
import { unaryMethod } from '../../../runtime/contracts/grpc-wire/service.ts';
import { OPERATIONS } from '../../../runtime/contracts/operations.ts';
import { createApiAccessCheck } from '../../../runtime/grpc/api-access.ts';
import { BYTES, startServer, unaryCall } from '../../support/grpc-harness.ts';

const rule = (name: string, version: string, protocol = 'grpc') => ({ name, version, protocol });
const path = (method: string): string => `/dapr.proto.runtime.v1.Dapr/${method}`;

function open(lists: Parameters<typeof createApiAccessCheck>[0]): (method: string) => boolean {
  const check = createApiAccessCheck(lists);
  return (method) => {
    try {
      check?.(method.startsWith('/') ? method : path(method));
      return true;
    } catch (error) {
      t.match(error, { code: 12, message: 'Not Implemented' });
      return false;
    }
  };
}

t.test('an allow list closes everything else', async (t) => {
  const allows = open({ allowed: [rule('state', 'v1'), rule('publish', 'v1', 'http')], denied: [] });
  t.ok(allows('GetState'));
  t.ok(allows('ExecuteStateTransaction'));
  t.notOk(allows('QueryStateAlpha1'));
  t.notOk(allows('PublishEvent'), 'a rule for HTTP does not count');
  t.ok(allows('/my.App/Method'), 'what is proxied is not filtered');
});

t.test('a deny list closes its groups, and wins', async (t) => {
  const allows = open({
    allowed: [rule('state', 'v1')],
    denied: [rule('state', 'v1'), rule('shutdown', 'v1')],
  });
  t.notOk(allows('GetState'));
  t.ok(open({ allowed: [], denied: [rule('shutdown', 'v1')] })('GetState'));
});

t.test('lists without gRPC rules check nothing', async (t) => {
  t.equal(createApiAccessCheck({ allowed: [rule('state', 'v1', 'http')], denied: [] }), undefined);
});

t.test('every group of the table can be named', async (t) => {
  for (const operation of Object.values(OPERATIONS)) {
    for (const { method, group } of operation.grpc) {
      const [name = '', version = ''] = group.split('.');
      t.ok(open({ allowed: [rule(name, version)], denied: [] })(method), method);
    }
  }
});

t.test('the refusal on the wire', async (t) => {
  const service = {
    name: 'dapr.proto.runtime.v1.Dapr',
    methods: { GetState: unaryMethod(BYTES, BYTES, async (message) => message) },
  };
  const { client } = await startServer(t, [service], {
    apiLists: { allowed: [], denied: [rule('state', 'v1')] },
  });
  t.match(await unaryCall(client, path('GetState'), Buffer.alloc(0)), { code: 12, text: 'Not Implemented' });
});
