/**
 * Store-and-forward to a far sidecar: a durable queue whose messages are sent while the link is there. Which answers
 * keep, end or park a message is decided here, once for all components.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type {
  DeliveryOutcome,
  Spool,
  SpoolMessage,
  StoredMessage,
} from '../../../runtime/contracts/spool.ts';
import type { HttpAnswer } from '../http/request.ts';
import { BulkSender } from './bulk-sender.ts';
import { createFarLink } from './far-link.ts';
import type { FarCall, FarSidecar } from './far-sidecar.ts';
import type { LinkOutage } from './link-probe.ts';
import type { QueueItems } from './queue-items.ts';

export interface Forwarder {
  /** Opens the queue and starts sending; the far sidecar must be open. */
  open(): Promise<void>;
  /** Resolves with the message id once the message is on disk. */
  append(message: SpoolMessage): Promise<string>;
  close(): Promise<void>;
}

/** Messages may go many at a time, through the bulk publish API. */
export interface BulkRoute {
  /** `<pubsub>/<topic>` over there, encoded; undefined: this message must go alone. */
  readonly target: (message: StoredMessage) => string | undefined;
  /** Metadata of an entry. */
  readonly metadata: (message: StoredMessage) => Readonly<Record<string, string>>;
  /** Messages in a batch, and batches under way at the same time. */
  readonly maxMessages: number;
  readonly maxBatches: number;
}

const MAX_BATCH_BYTES = 1024 * 1024;
/** Answers that say this message can never be taken, whatever the link does. */
const POISON_STATUSES = new Set([400, 413, 415, 422]);
/** A far sidecar that lacks the component says 400 too: that is no fault of the message, and may be mended. */
const NOT_SET_UP = /"errorCode":"ERR_\w+_NOT_(?:CONFIGURED|FOUND)"/;

export function createForwarder(
  far: FarSidecar,
  items: QueueItems,
  deps: Pick<ComponentDeps, 'appId' | 'componentName' | 'spools' | 'clock' | 'log'>,
  request: (message: StoredMessage) => Omit<FarCall, 'signal'>,
  route?: BulkRoute,
  /** The link is back. */
  linkBack?: (outage: LinkOutage) => void,
): Forwarder {
  let spool: Spool | undefined;
  const link = createFarLink(far, deps, (outage) => {
    spool?.wake();
    linkBack?.(outage);
  });

  const single = async (message: StoredMessage, signal: AbortSignal): Promise<DeliveryOutcome> => {
    try {
      const call = request(message);
      return outcomeOf(await link.run(signal, (signal) => far.ask({ ...call, signal }), isAnswer));
    } catch (error) {
      return { retry: errorText(error) };
    }
  };

  const bulk =
    route === undefined
      ? undefined
      : new BulkSender({
          ...route,
          maxBytes: MAX_BATCH_BYTES,
          single,
          send: (target, body, signal) => {
            // The form of the path that every daprd with bulk publish knows.
            const path = `v1.0-alpha1/publish/bulk/${target}`;
            return link.run(signal, (signal) => far.ask({ method: 'POST', path, body, signal }), isAnswer);
          },
        });

  return {
    open: async () => {
      spool = await deps.spools.open({
        name: `${deps.appId}/${deps.componentName}`,
        maxMessages: items.queueMaxMessages,
        maxBytes: items.queueMaxBytes,
        whenFull: items.queueWhenFull,
        ttlMs: items.queueTTL,
        lingerMs: items.linger,
        // Batches under way, and one that gathers.
        ...(route === undefined ? {} : { parallelKeys: (route.maxBatches + 1) * route.maxMessages }),
      });
      spool.drain(bulk === undefined ? single : (message, signal) => bulk.deliver(message, signal));
    },
    append: async (message) => {
      if (spool === undefined) throw new Error(`component ${deps.componentName} is closed`);
      return await spool.append(message);
    },
    close: async () => {
      link.close();
      await spool?.close();
      spool = undefined;
    },
  };
}

/** The far sidecar's own, as opposed to that of a gateway that found nobody. */
const isAnswer = ({ status }: HttpAnswer): boolean => status < 500;

/** `delivered` for 2xx; parked when the far side says that it can never take this message; else tried again. */
export function outcomeOf(answer: HttpAnswer): DeliveryOutcome {
  if (answer.status >= 200 && answer.status < 300) return 'delivered';
  const text = Buffer.from(answer.body).toString('utf8').slice(0, 200);
  const reason = `${answer.status} ${text}`.trim();
  return POISON_STATUSES.has(answer.status) && !NOT_SET_UP.test(text) ? { park: reason } : { retry: reason };
}
