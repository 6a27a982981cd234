/** What all connections of a broker share. */

import type { Clock } from '../../runtime/contracts/clock.ts';
import type { SqlStep } from '../../runtime/contracts/database.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import type { Acceptance } from './acceptance.ts';
import type { Access } from './access.ts';
import type { Connection } from './connection.ts';
import type { ControlStream } from './control-stream.ts';
import type { ElapsedTime } from './elapsed-time.ts';
import type { BrokerLimits, EnhancedAuthentication } from './options.ts';
import type { FlushScheduler } from './outbox.ts';
import type { RetainedMessages } from './retained.ts';
import type { SessionStore } from './session-store.ts';
import type { Statistics } from './statistics.ts';
import type { SysTopics } from './sys-topics.ts';
import type { Wills } from './wills.ts';

/** Why a connection is not read at the moment. */
export const HOLD = { connecting: 1, subscriber: 2, unanswered: 4, output: 8 } as const;

export interface ConnectionHost {
  readonly limits: BrokerLimits;
  readonly clock: Clock;
  readonly time: ElapsedTime;
  readonly log: Logger;
  readonly acceptance: Acceptance;
  readonly store: SessionStore;
  readonly retained: RetainedMessages;
  readonly wills: Wills;
  readonly access: Access;
  readonly statistics: Statistics;
  readonly sys: SysTopics;
  readonly flushes: FlushScheduler;
  readonly enhancedAuth: EnhancedAuthentication | undefined;
  /** By client id, the newest connection between CONNECT and CONNACK: earlier ones have lost their turn. */
  readonly opening: Map<string, object>;
  /** All connections whose socket is not gone. */
  readonly connections: Set<Connection>;
  /** A subscriber that fell behind while the current message was handed on. */
  pressured: Connection | undefined;
  /** Gives the control packets of a connection to aedes. */
  adopt(control: ControlStream<Connection>): void;
  /** The client id that aedes accepted or made up. */
  clientIdOf(connection: Connection): string;
  write(steps: readonly SqlStep[]): Promise<unknown>;
}
