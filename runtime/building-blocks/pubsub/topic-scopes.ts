/**
 * Which topics of a pub/sub component an app may use, and the names they have at the broker (HTTP reference, 7.6).
 * Component metadata: `allowedTopics` closes all other topics, `protectedTopics` closes the named ones for apps without
 * a grant, `publishingScopes` / `subscriptionScopes` (`app1=t1,t2;app2=t3`) limit the apps they name.
 */

import { type LoadedComponent, metadataItem } from '../../contracts/component-source.ts';

export interface TopicScopes {
  mayPublish(topic: string): boolean;
  maySubscribe(topic: string): boolean;
  /** Name of a topic at the broker: prefixed with the namespace when the component is namespace-scoped. */
  brokerTopic(topic: string): string;
  /** Name of a topic as apps know it. */
  appTopic(brokerTopic: string): string;
}

export type TopicScopesOf = (component: LoadedComponent<'pubsub'>) => TopicScopes;

/** Makes the look-up of scopes for one app; what a component says is read once. */
export function createTopicScopes(appId: string, namespace: string): TopicScopesOf {
  const known = new WeakMap<LoadedComponent, TopicScopes>();
  return (component) => {
    let scopes = known.get(component);
    if (scopes === undefined) {
      scopes = readScopes(component, appId, namespace);
      known.set(component, scopes);
    }
    return scopes;
  };
}

function readScopes(component: LoadedComponent<'pubsub'>, appId: string, namespace: string): TopicScopes {
  const item = (name: string): string => (metadataItem(component, name) ?? '').replaceAll(' ', '');
  const allowed = topicSet(item('allowedTopics'));
  const protectedTopics = topicSet(item('protectedTopics'));
  const prefix = component.namespaceScoped === true ? namespace : '';
  const rule = (scopes: string): ((topic: string) => boolean) => {
    const granted = grantedTopics(scopes, appId);
    return (topic) => {
      if (allowed !== undefined && !allowed.has(topic)) return false;
      if (granted === undefined && protectedTopics?.has(topic) !== true) return true;
      return granted?.has(topic) === true;
    };
  };
  return {
    mayPublish: rule(item('publishingScopes')),
    maySubscribe: rule(item('subscriptionScopes')),
    brokerTopic: (topic) => prefix + topic,
    appTopic: (topic) => (prefix !== '' && topic.startsWith(prefix) ? topic.slice(prefix.length) : topic),
  };
}

function topicSet(list: string): ReadonlySet<string> | undefined {
  return list === '' ? undefined : new Set(list.split(','));
}

/** Topics granted to the app; `undefined` when the scopes do not name it. An empty list grants nothing. */
function grantedTopics(scopes: string, appId: string): ReadonlySet<string> | undefined {
  let granted: Set<string> | undefined;
  for (const part of scopes.split(';')) {
    const [app, topics] = part.split('=');
    if (app !== appId || topics === undefined) continue;
    granted ??= new Set();
    for (const topic of topics.split(',')) granted.add(topic);
  }
  return granted;
}
