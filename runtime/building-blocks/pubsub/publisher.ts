/**
 * The way of every message to a pub/sub component, whoever sends it: find the component, check the topic scopes, prefix
 * the namespace, run the outbound policy. Dead letters and the outbox use it directly with bytes that are ready.
 */

import type { CallContext } from '../../contracts/call-context.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import { runtimeError } from '../../contracts/error.ts';
import type { PublishMessage } from '../../contracts/pubsub.ts';
import { remoteStatus } from '../../contracts/remote-error.ts';
import type { Policies } from '../../contracts/resiliency.ts';
import type { TopicScopes, TopicScopesOf } from './topic-scopes.ts';

export interface PublisherOptions {
  readonly appId: string;
  readonly components: ComponentSource;
  readonly policies: Policies;
  readonly scopesOf: TopicScopesOf;
}

/** Sends bytes as they are. Rejects with a `RuntimeError` for scopes and missing components, else with the cause. */
export type PublishRaw = (
  pubsubName: string,
  message: PublishMessage,
  signal: AbortSignal,
  /** Whose list of retried statuses counts; default: that of gRPC. */
  protocol?: CallContext['protocol'],
) => Promise<void>;

export interface Publisher {
  readonly publishRaw: PublishRaw;
  /** The component and its scopes, when this app may publish to `topic`; throws otherwise. */
  target(pubsubName: string, topic: string): PublishTarget;
}

export interface PublishTarget {
  readonly component: LoadedComponent<'pubsub'>;
  readonly scopes: TopicScopes;
}

export function createPublisher(options: PublisherOptions): Publisher {
  const target = (pubsubName: string, topic: string): PublishTarget => {
    const component = options.components.get('pubsub', pubsubName);
    if (component === undefined) {
      const error = `pubsub '${pubsubName}' not found`;
      throw runtimeError('pubsubVanished', { pubsub: pubsubName }, { info: { topic, error } });
    }
    const scopes = options.scopesOf(component);
    if (scopes.mayPublish(topic)) return { component, scopes };
    const error = `topic ${topic} is not allowed for app id ${options.appId}`;
    throw runtimeError(
      'pubsubForbidden',
      { pubsub: pubsubName, topic, appId: options.appId },
      { info: { topic, error } },
    );
  };
  const publishRaw: PublishRaw = async (pubsubName, message, signal, protocol = 'grpc') => {
    const { component, scopes } = target(pubsubName, message.topic);
    const topic = scopes.brokerTopic(message.topic);
    const sent = topic === message.topic ? message : { ...message, topic };
    const policy = options.policies.componentOutbound(pubsubName, 'Pubsub');
    if (!policy.active) return component.instance.publish(sent, signal);
    return policy.run((inner) => component.instance.publish(sent, inner), {
      signal,
      status: (error) => remoteStatus(error, protocol),
    });
  };
  return { publishRaw, target };
}
