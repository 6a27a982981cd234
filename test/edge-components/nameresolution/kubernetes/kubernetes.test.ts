import t from 'tap';
import { createKubernetesResolver } from '../../../../edge-components/nameresolution/kubernetes/kubernetes.ts';
import { nameKubernetesMetadata } from '../../../../edge-components/nameresolution/kubernetes/metadata.ts';
import { decodeMetadata } from '../../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../../support/component-deps.ts';

const signal = new AbortController().signal;
const request = { appId: 'billing', namespace: 'shop' };

function resolver(
  items: Readonly<Record<string, string>>,
  hosts: Readonly<Record<string, readonly string[]>>,
) {
  const decoded = decodeMetadata(nameKubernetesMetadata, items);
  if (!decoded.ok) throw new Error(decoded.faults.join());
  return createKubernetesResolver(decoded.value, componentDeps(), async (host) => {
    const found = hosts[host];
    if (found === undefined)
      throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' });
    return found;
  });
}

t.test('the Service that the operator makes for an app id', async (t) => {
  const hosts = {
    'billing-dapr.shop.svc.cluster.local': ['10.1.2.3'],
    'billing-dapr.shop.svc.example.org': ['fd00::7'],
  };
  t.equal(await resolver({}, hosts).resolve(request, signal), '10.1.2.3:50002');
  const elsewhere = resolver({ clusterDomain: 'example.org' }, hosts);
  t.equal(await elsewhere.resolve(request, signal), '[fd00::7]:50002');
});

t.test('one of several pods by chance', async (t) => {
  const pods = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
  const names = resolver({}, { 'billing-dapr.shop.svc.cluster.local': pods });
  const taken = new Set<string>();
  for (let n = 0; n < 50; n += 1) taken.add(await names.resolve(request, signal));
  t.same(
    [...taken].sort(),
    pods.map((pod) => `${pod}:50002`),
  );
});

t.test("a name of one's own", async (t) => {
  const own = resolver({ template: '{{.ID}}.{{ .Namespace }}:{{.Port}}' }, { 'billing.shop': ['10.0.0.9'] });
  t.equal(await own.resolve(request, signal), '10.0.0.9:50002');
  const fixed = resolver({ template: '{{.ID}}-x:3501' }, { 'billing-x': ['10.0.0.8'] });
  t.equal(await fixed.resolve(request, signal), '10.0.0.8:3501');
  for (const template of ['{{.ID', '{{.Data.zone}}:1', '{{if .ID}}a{{end}}'])
    t.match(decodeMetadata(nameKubernetesMetadata, { template }), {
      ok: false,
      faults: [/template.*\{\{\.ID\}\}/],
    });
});

t.test('nobody of that name, a resolver that fails, a caller that leaves', async (t) => {
  await t.rejects(resolver({}, {}).resolve(request, signal), { message: "couldn't find service: billing" });
  const failing = createKubernetesResolver(
    { clusterDomain: 'c', template: '' },
    componentDeps(),
    async () => {
      throw Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN' });
    },
  );
  await t.rejects(failing.resolve(request, signal), {
    message: "failed to resolve address for 'billing-dapr.shop.svc.c': getaddrinfo EAI_AGAIN",
  });
  const never = createKubernetesResolver(
    { clusterDomain: 'c', template: '' },
    componentDeps(),
    () => new Promise(() => {}),
  );
  const leaving = new AbortController();
  const waiting = never.resolve(request, leaving.signal);
  leaving.abort(new Error('gone'));
  await t.rejects(waiting, { message: 'gone' });
});

t.test('the system is asked', async (t) => {
  const names = createKubernetesResolver(
    { clusterDomain: '', template: 'localhost:{{.Port}}' },
    componentDeps(),
  );
  t.match(await names.resolve(request, signal), /^(127\.0\.0\.1|\[::1\]):50002$/);
});
