/** Actors over gRPC while there is no actor engine: names are told to the block, which refuses (gRPC reference, 2.8). */

import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { EmptySchema as Empty } from '@bufbuild/protobuf/wkt';
import type { AnyGrpcMethod } from '../../contracts/grpc-wire/service.ts';
import {
  ExecuteActorStateTransactionRequestSchema,
  GetActorReminderRequestSchema,
  GetActorReminderResponseSchema,
  GetActorStateRequestSchema,
  GetActorStateResponseSchema,
  InvokeActorRequestSchema,
  InvokeActorResponseSchema,
  ListActorRemindersRequestSchema,
  ListActorRemindersResponseSchema,
  RegisterActorReminderRequestSchema,
  RegisterActorTimerRequestSchema,
  UnregisterActorReminderRequestSchema,
  UnregisterActorRemindersByTypeRequestSchema,
  UnregisterActorRemindersByTypeResponseSchema,
  UnregisterActorTimerRequestSchema,
} from '../../generated/dapr/proto/runtime/v1/actors_pb.ts';
import {
  SubscribeActorEventsRequestAlpha1Schema,
  SubscribeActorEventsResponseAlpha1Schema,
} from '../../generated/skerry_additions_pb.ts';
import { bidi, type Operations, type ServiceDeps, unary } from './method.ts';

type ActorKeys =
  | 'actorInvoke'
  | 'actorStateTransaction'
  | 'actorStateGet'
  | 'actorReminderRegister'
  | 'actorReminderGet'
  | 'actorReminderUnregister'
  | 'actorRemindersByType'
  | 'actorTimerRegister'
  | 'actorTimerUnregister'
  | 'actorStream';

/** The actor operations. */
export function actorOperations({ blocks: { actors } }: ServiceDeps): Operations<ActorKeys> {
  const refusing = <I extends DescMessage>(request: I, answer: DescMessage, direct = true): AnyGrpcMethod =>
    unary(request, answer, (message, call) => actors.refuse({ ...namesOf(message), direct }, call));

  return {
    // Only this one may name a reserved type: workflow clients call through it.
    actorInvoke: refusing(InvokeActorRequestSchema, InvokeActorResponseSchema, false),
    actorStateTransaction: refusing(ExecuteActorStateTransactionRequestSchema, Empty),
    actorStateGet: refusing(GetActorStateRequestSchema, GetActorStateResponseSchema),
    actorReminderRegister: refusing(RegisterActorReminderRequestSchema, Empty),
    actorReminderGet: refusing(GetActorReminderRequestSchema, GetActorReminderResponseSchema),
    actorReminderUnregister: refusing(UnregisterActorReminderRequestSchema, Empty),
    actorRemindersByType: {
      UnregisterActorRemindersByType: refusing(
        UnregisterActorRemindersByTypeRequestSchema,
        UnregisterActorRemindersByTypeResponseSchema,
      ),
      ListActorReminders: refusing(ListActorRemindersRequestSchema, ListActorRemindersResponseSchema),
    },
    actorTimerRegister: refusing(RegisterActorTimerRequestSchema, Empty),
    actorTimerUnregister: refusing(UnregisterActorTimerRequestSchema, Empty),
    actorStream: bidi(
      SubscribeActorEventsRequestAlpha1Schema,
      SubscribeActorEventsResponseAlpha1Schema,
      // biome-ignore lint/correctness/useYield: the stream ends before it could carry anything
      async function* (_requests, call) {
        await actors.refuse({ type: '', id: '', direct: false }, call);
      },
    ),
  };
}

function namesOf(message: MessageShape<DescMessage>): { type: string; id: string; name?: string } {
  const {
    actorType = '',
    actorId = '',
    name,
  } = message as { actorType?: string; actorId?: string; name?: string };
  return { type: actorType, id: actorId, ...(name === undefined ? {} : { name }) };
}
