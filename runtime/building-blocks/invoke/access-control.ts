/**
 * `spec.accessControl` of the callee (HTTP reference 3.5, resources reference 8.1). Who calls is told by the certificate
 * of the calling sidecar and by nothing else; without one no policy matches and the global default action decides.
 */

import type { Logger } from '../../contracts/logger.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { ConfigurationResource } from '../../contracts/resource.ts';
import type { SpiffeId } from '../../contracts/spiffe.ts';
import { createOperationTree, type OperationTree } from './operation-tree.ts';

export type AccessControl = NonNullable<ConfigurationResource['accessControl']>;

/** `NONE` stands for a call without HTTP verb. */
export interface AccessedOperation {
  /** Normalised and without escapes: `/a b` and not `/a%20b`. */
  readonly name: string;
  readonly verb: string;
  /** HTTP apps: names are compared without regard to case, and verbs count. */
  readonly http: boolean;
}

/** Text of the refusal, or `undefined` when the call is allowed. */
export type AccessCheck = (caller: SpiffeId | undefined, operation: AccessedOperation) => string | undefined;

interface OperationRule {
  readonly verbs: ReadonlySet<string>;
  readonly action: string;
}

interface AppRules {
  readonly trustDomain: string;
  readonly defaultAction: string;
  readonly byCase: OperationTree<OperationRule>;
  readonly lowerCase: OperationTree<OperationRule>;
}

interface Verdict {
  readonly action: string;
  readonly level: 'app' | 'global';
}

/** Makes the check of one app's policies. */
export function createAccessCheck(control: AccessControl, metrics: Metrics, log: Logger): AccessCheck {
  const { policies } = control;
  const aclLog = log.child('dapr.acl');
  const fallback =
    control.defaultAction === '' ? (policies.length > 0 ? 'deny' : 'allow') : control.defaultAction;
  const rules = new Map<string, AppRules>();
  for (const policy of policies) {
    const byCase = createOperationTree<OperationRule>();
    const lowerCase = createOperationTree<OperationRule>();
    for (const { name, httpVerb, action } of policy.operations) {
      const rule = { verbs: new Set(httpVerb), action };
      byCase.put(withSlash(name), rule);
      lowerCase.put(withSlash(name).toLowerCase(), rule);
    }
    const { trustDomain, defaultAction } = policy;
    rules.set(keyOf(policy.appId, policy.namespace), { trustDomain, defaultAction, byCase, lowerCase });
  }

  const judge = (caller: SpiffeId | undefined, operation: AccessedOperation): Verdict => {
    const workload = caller?.workload;
    const app = workload === undefined ? undefined : rules.get(keyOf(workload.appId, workload.namespace));
    if (app === undefined || app.trustDomain !== caller?.trustDomain) {
      return { action: fallback, level: 'global' };
    }
    const appDefault: Verdict =
      app.defaultAction === ''
        ? { action: fallback, level: 'global' }
        : { action: app.defaultAction, level: 'app' };
    return { ...appDefault, action: ruleAction(app, operation) ?? appDefault.action };
  };

  return (caller, operation) => {
    if (caller !== undefined && caller.workload === undefined) return `malformed SPIFFE ID: ${caller.text}`;
    const { action, level } = judge(caller, operation);
    const allowed = action.toLowerCase() === 'allow';
    metrics.count(`runtime_acl_${level}_policy_action_${allowed ? 'allowed' : 'blocked'}_total`, {
      app_id: caller?.workload?.appId ?? '',
      namespace: caller?.workload?.namespace ?? '',
      trustDomain: caller?.trustDomain ?? '',
    });
    if (allowed) return undefined;
    const text = `access control policy has denied access to id: ${caller?.text ?? ''} operation: ${operation.name} verb: ${operation.verb}`;
    aclLog.debug(text);
    return text;
  };
}

/** What the operation's own rule says; `undefined` when there is none, or none for this verb. */
function ruleAction(app: AppRules, { name, verb, http }: AccessedOperation): string | undefined {
  const path = withSlash(name);
  const rule = http ? app.lowerCase.find(path.toLowerCase()) : app.byCase.find(path);
  if (rule === undefined || !http) return rule?.action;
  // Without a verb Dapr falls back to the app's own default, and an empty one is no permission.
  if (verb === 'NONE') return app.defaultAction;
  return rule.verbs.has(verb) || rule.verbs.has('*') ? rule.action : undefined;
}

function keyOf(appId: string, namespace: string): string {
  return `${appId}||${namespace}`;
}

function withSlash(name: string): string {
  return name.startsWith('/') ? name : `/${name}`;
}
