/**
 * Every error a client can see, one row each. HTTP status and gRPC code are separate columns taken from Dapr's
 * behaviour, never computed from each other. Keys are never reused.
 *
 * `shape`: `rich` sends details on both protocols; `basic` is the short HTTP form and one ErrorInfo (reason = tag) on
 * gRPC; `plain` is the short HTTP form and a bare gRPC status.
 */

import type { ErrorDetail, Fields } from './error.ts';
import { GrpcCode as G } from './grpc-code.ts';

export interface ErrorRow {
  readonly http: number;
  readonly grpc: number;
  /** Legacy `errorCode`. */
  readonly tag?: string;
  /** ErrorInfo reason of rich errors. */
  readonly reason?: string;
  readonly shape: 'rich' | 'basic' | 'plain';
  /** `category` label of `error_code_total`. */
  readonly category: string;
  message(fields: Fields): string;
  /** gRPC text where it differs. */
  grpcMessage?(fields: Fields): string;
  /** Details before the ErrorInfo. */
  details?(fields: Fields): readonly ErrorDetail[];
}

type Message = (fields: Fields) => string;

const basic = (category: string, http: number, grpc: number, tag: string, message: Message): ErrorRow => ({
  http,
  grpc,
  tag,
  shape: 'basic',
  category,
  message,
});
const plain = (category: string, http: number, grpc: number, tag: string, message: Message): ErrorRow => ({
  http,
  grpc,
  tag,
  shape: 'plain',
  category,
  message,
});
const rich = (
  category: string,
  http: number,
  grpc: number,
  tag: string | undefined,
  reason: string,
  message: Message,
  details?: (fields: Fields) => readonly ErrorDetail[],
): ErrorRow => ({
  http,
  grpc,
  reason,
  shape: 'rich',
  category,
  message,
  ...(tag === undefined ? {} : { tag }),
  ...(details === undefined ? {} : { details }),
});

const stateResource = (f: Fields): ErrorDetail => ({
  kind: 'ResourceInfo',
  type: 'state',
  name: String(f['store']),
  owner: '',
  description: '',
});
const pubsubResource =
  (message: Message) =>
  (f: Fields): readonly ErrorDetail[] => [
    { kind: 'ResourceInfo', type: 'pubsub', name: String(f['pubsub']), owner: '', description: message(f) },
  ];
const STATE_HELP: ErrorDetail = {
  kind: 'Help',
  links: [
    {
      description: 'Check the list of state stores and the features they support',
      url: 'https://docs.dapr.io/reference/components-reference/supported-state-stores/',
    },
  ],
};
const pubsubRich = (http: number, grpc: number, tag: string, reason: string, message: Message): ErrorRow =>
  rich('pubsub', http, grpc, tag, reason, message, pubsubResource(message));

export const ERRORS = {
  // shared
  badRequest: plain(
    'common',
    400,
    G.InvalidArgument,
    'ERR_BAD_REQUEST',
    (f) => `invalid request: ${f['error']}`,
  ),
  bodyRead: plain(
    'common',
    400,
    G.InvalidArgument,
    'ERR_BODY_READ',
    (f) => `failed to read request body: ${f['error']}`,
  ),
  malformedRequest: plain(
    'common',
    400,
    G.InvalidArgument,
    'ERR_MALFORMED_REQUEST',
    (f) => `failed deserializing HTTP body: ${f['error']}`,
  ),
  malformedText: plain('common', 400, G.InvalidArgument, 'ERR_MALFORMED_REQUEST', (f) => `${f['error']}`),
  malformedRequestData: basic(
    'binding',
    500,
    G.InvalidArgument,
    'ERR_MALFORMED_REQUEST_DATA',
    (f) => `can't serialize request data field: ${f['error']}`,
  ),
  malformedResponse: plain(
    'common',
    500,
    G.Internal,
    'ERR_MALFORMED_RESPONSE',
    (f) => `failed deserializing ${f['what']} body: ${f['error']}`,
  ),
  unimplemented: plain(
    'common',
    501,
    G.Unimplemented,
    'ERR_API_UNIMPLEMENTED',
    () => 'this API is currently not implemented',
  ),
  internal: plain('common', 500, G.Internal, 'ERR_INTERNAL', (f) => `${f['error']}`),
  unknown: plain('common', 500, G.Unknown, 'ERROR', (f) => `${f['error']}`),
  canceled: plain('common', 408, G.Canceled, 'ERROR', () => 'context canceled'),
  deadlineExceeded: plain('common', 504, G.DeadlineExceeded, 'ERROR', () => 'context deadline exceeded'),
  overloaded: plain(
    'common',
    429,
    G.ResourceExhausted,
    'ERR_OVERLOADED',
    (f) => `${f['what']} is full; try again later`,
  ),
  appChannelMissing: plain(
    'configuration',
    500,
    G.FailedPrecondition,
    'ERR_APP_CHANNEL_NIL',
    () => 'app channel is not initialized. cannot subscribe to configuration updates',
  ),
  invalidToken: plain('common', 401, G.Unauthenticated, 'ERR_UNAUTHORIZED', () => 'Unauthorized'),

  // state
  stateStoresNotConfigured: rich(
    'state',
    500,
    G.FailedPrecondition,
    'ERR_STATE_STORE_NOT_CONFIGURED',
    'DAPR_STATE_NOT_CONFIGURED',
    (f) => `state store ${f['store']} is not configured`,
  ),
  stateStoreNotFound: rich(
    'state',
    400,
    G.InvalidArgument,
    'ERR_STATE_STORE_NOT_FOUND',
    'DAPR_STATE_NOT_FOUND',
    (f) => `state store ${f['store']} is not found`,
  ),
  stateIllegalKey: {
    ...rich(
      'state',
      400,
      G.InvalidArgument,
      'ERR_MALFORMED_REQUEST',
      'DAPR_STATE_ILLEGAL_KEY',
      (f) => `api error: code = InvalidArgument desc = input key/keyPrefix '${f['key']}' can't contain '||'`,
      (f) => [
        {
          kind: 'BadRequest',
          violations: [
            {
              field: String(f['key']),
              description: `api error: code = InvalidArgument desc = input key/keyPrefix '${f['key']}' can't contain '||'`,
            },
          ],
        },
        stateResource(f),
      ],
    ),
    grpcMessage: (f: Fields): string => `input key/keyPrefix '${f['key']}' can't contain '||'`,
  },
  stateKeyRequired: basic(
    'state',
    400,
    G.InvalidArgument,
    'ERR_MALFORMED_REQUEST',
    () => '"key" is a required field',
  ),
  stateKeyEmpty: basic('state', 400, G.InvalidArgument, 'ERR_STATE_SAVE', () => 'state key cannot be empty'),
  stateGet: basic(
    'state',
    500,
    G.Internal,
    'ERR_STATE_GET',
    (f) => `fail to get ${f['key']} from state store ${f['store']}: ${f['error']}`,
  ),
  stateSave: {
    ...basic(
      'state',
      500,
      G.Internal,
      'ERR_STATE_SAVE',
      (f) => `failed saving state in state store ${f['store']}: ${f['error']}`,
    ),
    // Of several failures HTTP tells the one that decided the status.
    grpcMessage: (f) => `failed saving state in state store ${f['store']}: ${f['all'] ?? f['error']}`,
  },
  stateDelete: basic(
    'state',
    500,
    G.Internal,
    'ERR_STATE_DELETE',
    (f) => `failed deleting state with key ${f['key']}: ${f['error']}`,
  ),
  stateBulkDelete: basic(
    'state',
    500,
    G.Internal,
    'ERR_STATE_BULK_DELETE',
    (f) => `failed deleting state in state store ${f['store']}: ${f['error']}`,
  ),
  stateBulkGet: basic('state', 500, G.Internal, 'ERR_STATE_BULK_GET', (f) => `${f['error']}`),
  stateTransaction: basic(
    'state',
    500,
    G.Internal,
    'ERR_STATE_TRANSACTION',
    (f) => `error while executing state transaction: ${f['error']}`,
  ),
  stateOperationNotSupported: basic(
    'state',
    400,
    G.Unimplemented,
    'ERR_NOT_SUPPORTED_STATE_OPERATION',
    (f) => `operation type ${f['operation']} not supported`,
  ),
  stateTransactionsNotSupported: rich(
    'state',
    500,
    G.Unimplemented,
    'ERR_STATE_STORE_NOT_SUPPORTED',
    'DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED',
    (f) => `state store ${f['store']} doesn't support transactions`,
    (f) => [STATE_HELP, stateResource(f)],
  ),
  stateTooManyTransactions: rich(
    'state',
    400,
    G.InvalidArgument,
    'ERR_STATE_STORE_TOO_MANY_TRANSACTIONS',
    'DAPR_STATE_TOO_MANY_TRANSACTIONS',
    (f) =>
      `the transaction contains ${f['count']} operations, which is more than what the state store supports: ${f['max']}`,
    (f) => [stateResource(f)],
  ),
  stateQueryNotSupported: rich(
    'state',
    500,
    G.Internal,
    'ERR_STATE_STORE_NOT_SUPPORTED',
    'DAPR_STATE_QUERYING_NOT_SUPPORTED',
    () => 'state store does not support querying',
    (f) => [stateResource(f)],
  ),
  componentVerdict: rich('pluggable', 500, G.Unknown, undefined, '', (f) => `${f['error']}`),
  stateQuery: rich(
    'state',
    500,
    G.Internal,
    'ERR_STATE_QUERY',
    'DAPR_STATE_QUERY_FAILED',
    (f) => `state store ${f['store']} query failed: ${f['error']}`,
    (f) => [stateResource(f)],
  ),
  outboxPublish: rich(
    'pubsub',
    500,
    G.Internal,
    'ERR_PUBLISH_OUTBOX',
    'DAPR_PUBSUB_OUTBOX',
    (f) => `error while publishing outbox message: ${f['error']}`,
  ),

  // publish
  pubsubNotConfigured: rich(
    'pubsub',
    400,
    G.FailedPrecondition,
    'ERR_PUBSUB_NOT_CONFIGURED',
    'DAPR_PUBSUB_NOT_CONFIGURED',
    (f) => `pubsub ${f['pubsub']} is not configured`,
  ),
  pubsubNotFound: rich(
    'pubsub',
    404,
    G.InvalidArgument,
    'ERR_PUBSUB_NOT_FOUND',
    'DAPR_PUBSUB_NOT_FOUND',
    (f) => `pubsub ${f['pubsub']} is not found`,
  ),
  pubsubVanished: rich(
    'pubsub',
    400,
    G.NotFound,
    'ERR_PUBSUB_NOT_FOUND',
    'DAPR_PUBSUB_TEST_NOT_FOUND',
    (f) => `pubsub '${f['pubsub']}' not found`,
  ),
  pubsubNameEmpty: rich(
    'pubsub',
    404,
    G.InvalidArgument,
    'ERR_PUBSUB_EMPTY',
    'DAPR_PUBSUB_NAME_EMPTY',
    () => 'pubsub name is empty',
    (f) => [
      {
        kind: 'ResourceInfo',
        type: 'pubsub',
        name: String(f['pubsub'] ?? ''),
        owner: '',
        description: 'pubsub name is empty',
      },
    ],
  ),
  pubsubTopicEmpty: pubsubRich(
    404,
    G.InvalidArgument,
    'ERR_TOPIC_NAME_EMPTY',
    'DAPR_PUBSUB_TOPIC_NAME_EMPTY',
    (f) => `topic is empty in pubsub ${f['pubsub']}`,
  ),
  pubsubMetadata: pubsubRich(
    400,
    G.InvalidArgument,
    'ERR_PUBSUB_REQUEST_METADATA',
    'DAPR_PUBSUB_METADATA_DESERIALIZATION',
    (f) => `failed deserializing metadata. Error: ${f['error']}`,
  ),
  pubsubCloudEvent: pubsubRich(
    500,
    G.InvalidArgument,
    'ERR_PUBSUB_CLOUD_EVENTS_SER',
    'DAPR_PUBSUB_CLOUD_EVENT_CREATION',
    () => 'cannot create cloudevent',
  ),
  pubsubEnvelope: pubsubRich(
    400,
    G.InvalidArgument,
    'ERR_PUBSUB_EVENTS_SER',
    'DAPR_PUBSUB_MARSHAL_ENVELOPE',
    (f) =>
      `error when marshalling cloud event envelope for topic ${f['topic']} pubsub ${f['pubsub']}: ${f['error']}`,
  ),
  pubsubMarshalEvents: pubsubRich(
    400,
    G.InvalidArgument,
    'ERR_PUBSUB_EVENTS_SER',
    'DAPR_PUBSUB_MARSHAL_EVENTS',
    (f) =>
      `error marshaling events to bytes for topic ${f['topic']} pubsub ${f['pubsub']}. error: ${f['error']}`,
  ),
  pubsubUnmarshalEvents: pubsubRich(
    400,
    G.InvalidArgument,
    'ERR_PUBSUB_EVENTS_SER',
    'DAPR_PUBSUB_UNMARSHAL_EVENTS',
    (f) => `error when unmarshaling the request for topic ${f['topic']} pubsub ${f['pubsub']}: ${f['error']}`,
  ),
  pubsubForbidden: pubsubRich(
    403,
    G.PermissionDenied,
    'ERR_PUBSUB_FORBIDDEN',
    'DAPR_PUBSUB_FORBIDDEN',
    (f) => `topic ${f['topic']} is not allowed for app id ${f['appId']}`,
  ),
  pubsubPublish: pubsubRich(
    500,
    G.Internal,
    'ERR_PUBSUB_PUBLISH_MESSAGE',
    'DAPR_PUBSUB_PUBLISH_MESSAGE',
    (f) => `error when publishing to topic ${f['topic']} in pubsub ${f['pubsub']}: ${f['error']}`,
  ),

  // bindings
  outputBinding: basic(
    'binding',
    500,
    G.Internal,
    'ERR_INVOKE_OUTPUT_BINDING',
    (f) => `error invoking output binding ${f['binding']}: ${f['error']}`,
  ),

  // service invocation
  directInvokeNoAppId: plain(
    'service-invocation',
    404,
    G.NotFound,
    'ERR_DIRECT_INVOKE',
    () => 'failed getting app id either from the URL path or the header dapr-app-id',
  ),
  directInvokeNotReady: plain(
    'service-invocation',
    500,
    G.Internal,
    'ERR_DIRECT_INVOKE',
    () => 'invoke API is not ready',
  ),
  directInvoke: plain(
    'service-invocation',
    500,
    G.Internal,
    'ERR_DIRECT_INVOKE',
    (f) => `failed to invoke, id: ${f['appId']}, err: ${f['error']}`,
  ),

  // secrets
  secretStoresNotConfigured: plain(
    'secret',
    500,
    G.FailedPrecondition,
    'ERR_SECRET_STORES_NOT_CONFIGURED',
    () => 'secret store is not configured',
  ),
  secretStoreNotFound: plain(
    'secret',
    401,
    G.InvalidArgument,
    'ERR_SECRET_STORE_NOT_FOUND',
    (f) => `failed finding secret store with key ${f['store']}`,
  ),
  secretDenied: plain(
    'secret',
    403,
    G.PermissionDenied,
    'ERR_PERMISSION_DENIED',
    (f) => `access denied by policy to get "${f['key']}" from "${f['store']}"`,
  ),
  secretGet: plain(
    'secret',
    500,
    G.Internal,
    'ERR_SECRET_GET',
    (f) => `failed getting secret with key ${f['key']} from secret store ${f['store']}: ${f['error']}`,
  ),
  secretBulkGet: plain(
    'secret',
    500,
    G.Internal,
    'ERR_SECRET_GET',
    (f) => `failed getting secrets from secret store ${f['store']}: ${f['error']}`,
  ),

  // configuration
  configurationStoresNotConfigured: basic(
    'configuration',
    500,
    G.FailedPrecondition,
    'ERR_CONFIGURATION_STORE_NOT_CONFIGURED',
    () => 'configuration stores not configured',
  ),
  configurationStoreNotFound: basic(
    'configuration',
    400,
    G.InvalidArgument,
    'ERR_CONFIGURATION_STORE_NOT_FOUND',
    (f) => `configuration store ${f['store']} not found`,
  ),
  configurationGet: basic(
    'configuration',
    500,
    G.Internal,
    'ERR_CONFIGURATION_GET',
    (f) => `failed to get [${f['keys']}] from Configuration store ${f['store']}: ${f['error']}`,
  ),
  configurationSubscribe: basic(
    'configuration',
    500,
    G.InvalidArgument,
    'ERR_CONFIGURATION_SUBSCRIBE',
    (f) => `failed to subscribe [${f['keys']}] from Configuration store ${f['store']}: ${f['error']}`,
  ),

  // lock
  lockStoresNotConfigured: plain(
    'lock',
    500,
    G.FailedPrecondition,
    'ERR_LOCK_STORE_NOT_CONFIGURED',
    () => 'lock store is not configured',
  ),
  lockStoreNotFound: plain(
    'lock',
    400,
    G.InvalidArgument,
    'ERR_LOCK_STORE_NOT_FOUND',
    (f) => `lock store ${f['store']} not found`,
  ),
  lockResourceEmpty: plain(
    'common',
    400,
    G.InvalidArgument,
    'ERR_MALFORMED_REQUEST',
    (f) => `ResourceId is empty in lock store ${f['store']}`,
  ),
  lockOwnerEmpty: plain(
    'common',
    400,
    G.InvalidArgument,
    'ERR_MALFORMED_REQUEST',
    (f) => `LockOwner is empty in lock store ${f['store']}`,
  ),
  lockExpiryNotPositive: plain(
    'common',
    400,
    G.InvalidArgument,
    'ERR_MALFORMED_REQUEST',
    (f) => `ExpiryInSeconds is not positive in lock store ${f['store']}`,
  ),
  tryLock: plain(
    'lock',
    500,
    G.Internal,
    'ERR_TRY_LOCK',
    (f) => `failed to try acquiring lock: ${f['error']}`,
  ),
  unlock: plain('lock', 500, G.Internal, 'ERR_UNLOCK', (f) => `failed to release lock: ${f['error']}`),

  // crypto
  cryptoProvidersNotConfigured: plain(
    'crypto',
    500,
    G.Internal,
    'ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED',
    () => 'crypto providers not configured',
  ),
  cryptoProviderNotFound: plain(
    'crypto',
    400,
    G.InvalidArgument,
    'ERR_CRYPTO_PROVIDER_NOT_FOUND',
    (f) => `crypto provider ${f['provider']} not found`,
  ),
  cryptoKey: plain(
    'crypto',
    500,
    G.Internal,
    'ERR_CRYPTO_KEY',
    (f) => `failed to retrieve key ${f['key']}: ${f['error']}`,
  ),
  crypto: plain('crypto', 500, G.Internal, 'ERR_CRYPTO', (f) => `failed to perform operation: ${f['error']}`),

  // jobs
  jobNameInBody: rich(
    'job',
    400,
    G.InvalidArgument,
    undefined,
    'DAPR_SCHEDULER_JOB_NAME',
    () => 'Set the job name in the url only',
  ),
  jobEmpty: rich('job', 400, G.InvalidArgument, undefined, 'DAPR_SCHEDULER_EMPTY', () => 'Job is empty'),
  jobNameEmpty: rich(
    'job',
    400,
    G.InvalidArgument,
    undefined,
    'DAPR_SCHEDULER_JOB_NAME_EMPTY',
    () => 'Name is empty',
  ),
  jobScheduleEmpty: rich(
    'job',
    400,
    G.InvalidArgument,
    undefined,
    'DAPR_SCHEDULER_SCHEDULE_EMPTY',
    () => 'Schedule is empty',
  ),
  jobSchedule: rich(
    'job',
    500,
    G.Internal,
    undefined,
    'DAPR_SCHEDULER_SCHEDULE_JOB',
    (f) => `failed to schedule job due to: ${f['error']}`,
  ),
  jobGet: rich(
    'job',
    500,
    G.Internal,
    undefined,
    'DAPR_SCHEDULER_GET_JOB',
    (f) => `failed to get job due to: ${f['error']}`,
  ),
  jobDelete: rich(
    'job',
    500,
    G.Internal,
    undefined,
    'DAPR_SCHEDULER_DELETE_JOB',
    (f) => `failed to delete job due to: ${f['error']}`,
  ),
  jobList: rich(
    'job',
    500,
    G.Internal,
    undefined,
    'DAPR_SCHEDULER_LIST_JOBS',
    (f) => `failed to list jobs due to: ${f['error']}`,
  ),

  // actors and workflow without a control plane
  actorNoPlacement: plain(
    'actor',
    400,
    G.Unavailable,
    'ERR_ACTOR_NO_PLACEMENT',
    () => 'placement service is not configured',
  ),
  actorRuntimeNotFound: plain(
    'actor',
    500,
    G.Internal,
    'ERR_ACTOR_RUNTIME_NOT_FOUND',
    (f) => `${f['error']}`,
  ),
  actorTypeReserved: plain(
    'actor',
    403,
    G.PermissionDenied,
    'ERR_ACTOR_TYPE_RESERVED',
    (f) =>
      `actor type "${f['type']}" is reserved for the Dapr workflow runtime; direct actor API access is not permitted`,
  ),
  workflowInstanceIdTooLong: plain(
    'workflow',
    400,
    G.InvalidArgument,
    'ERR_INSTANCE_ID_TOO_LONG',
    (f) => `workflow instance ID exceeds the max length of ${f['max']} characters`,
  ),
  workflowInstanceIdInvalid: plain(
    'workflow',
    400,
    G.InvalidArgument,
    'ERR_INSTANCE_ID_INVALID',
    (f) =>
      `workflow instance ID '${f['id']}' is invalid: only alphanumeric and underscore characters are allowed`,
  ),

  // conversation
  conversationNotFound: plain(
    'conversation',
    400,
    G.InvalidArgument,
    'ERR_CONVERSATION_NOT_FOUND',
    (f) => `failed finding conversation component ${f['component']}`,
  ),
  conversationMissingInputs: plain(
    'conversation',
    400,
    G.InvalidArgument,
    'ERR_CONVERSATION_MISSING_INPUTS',
    (f) => `failed conversing with component ${f['component']}: missing inputs in request`,
  ),
  conversationInvalidParams: plain(
    'conversation',
    400,
    G.InvalidArgument,
    'ERR_CONVERSATION_INVALID_PARMS',
    (f) => `failed conversing with component ${f['component']}: invalid params: ${f['error']}`,
  ),
  conversationInvoke: plain(
    'conversation',
    500,
    G.Internal,
    'ERR_CONVERSATION_INVOKE',
    (f) => `failed conversing with component ${f['component']}: ${f['error']}`,
  ),

  // health
  notReady: plain(
    'health',
    500,
    G.Unavailable,
    'ERR_HEALTH_NOT_READY',
    (f) => `dapr is not ready: [${f['targets']}]`,
  ),
  appIdMismatch: plain(
    'health',
    500,
    G.InvalidArgument,
    'ERR_HEALTH_APPID_NOT_MATCH',
    () => 'dapr app-id does not match',
  ),
  outboundNotReady: plain(
    'health',
    500,
    G.Unavailable,
    'ERR_OUTBOUND_HEALTH_NOT_READY',
    () => 'dapr outbound is not ready',
  ),
} satisfies Record<string, ErrorRow>;

export type ErrorKey = keyof typeof ERRORS;
