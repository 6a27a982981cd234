/**
 * One row per API operation: its HTTP routes, its gRPC methods and the group under which API allow and deny lists name
 * it. Routing, allow lists, metric names and the support table of the docs all come from here.
 *
 * HTTP patterns: `:name` is one escaped segment, a final `*name` is the rest of the path.
 */

export interface HttpRoute {
  readonly methods: readonly string[];
  readonly path: string;
  /** Group and version for allow lists, e.g. `state/v1`; empty means always on. */
  readonly group: string;
}

export interface GrpcMethod {
  /** Method of `dapr.proto.runtime.v1.Dapr`. */
  readonly method: string;
  readonly group: string;
}

export interface Operation {
  readonly http: readonly HttpRoute[];
  readonly grpc: readonly GrpcMethod[];
}

const WRITE = ['POST', 'PUT'] as const;

const at = (group: string, methods: readonly string[], path: string): HttpRoute => ({ methods, path, group });
const rpc = (group: string, ...methods: string[]): readonly GrpcMethod[] =>
  methods.map((method) => ({ method, group }));
const workflowRoutes = (method: string, tail: string): readonly HttpRoute[] => [
  at('workflows/v1', [method], `/v1.0/workflows/:component/${tail}`),
  at('workflows/v1beta1', [method], `/v1.0-beta1/workflows/:component/${tail}`),
  at('workflows/v1alpha1', [method], `/v1.0-alpha1/workflows/:component/${tail}`),
];
const workflowRpc = (verb: string): readonly GrpcMethod[] => [
  ...rpc('workflows.v1alpha1', `${verb}WorkflowAlpha1`),
  ...rpc('workflows.v1beta1', `${verb}WorkflowBeta1`),
];
const both = (group: string, methods: readonly string[], tail: string): readonly HttpRoute[] => [
  at(`${group}/v1`, methods, `/v1.0/${tail}`),
  at(`${group}/v1alpha1`, methods, `/v1.0-alpha1/${tail}`),
];
const subtle = (verb: string, method: string): Operation => ({
  http: [at('subtlecrypto/v1alpha1', ['POST'], `/v1.0-alpha1/subtlecrypto/:name/${verb}`)],
  grpc: rpc('subtlecrypto.v1alpha1', `Subtle${method}Alpha1`),
});

export const OPERATIONS = {
  stateSave: { http: [at('state/v1', WRITE, '/v1.0/state/:store')], grpc: rpc('state.v1', 'SaveState') },
  stateGet: { http: [at('state/v1', ['GET'], '/v1.0/state/:store/:key')], grpc: rpc('state.v1', 'GetState') },
  stateDelete: {
    http: [at('state/v1', ['DELETE'], '/v1.0/state/:store/:key')],
    grpc: rpc('state.v1', 'DeleteState'),
  },
  stateBulkGet: {
    http: [at('state/v1', WRITE, '/v1.0/state/:store/bulk')],
    grpc: rpc('state.v1', 'GetBulkState'),
  },
  stateBulkDelete: { http: [], grpc: rpc('state.v1', 'DeleteBulkState') },
  stateTransaction: {
    http: [at('state/v1', WRITE, '/v1.0/state/:store/transaction')],
    grpc: rpc('state.v1', 'ExecuteStateTransaction'),
  },
  stateQuery: {
    http: [at('state/v1alpha1', WRITE, '/v1.0-alpha1/state/:store/query')],
    grpc: rpc('state.v1alpha1', 'QueryStateAlpha1'),
  },

  publish: {
    http: [at('publish/v1', WRITE, '/v1.0/publish/:pubsub/*topic')],
    grpc: rpc('publish.v1', 'PublishEvent'),
  },
  publishBulk: {
    http: both('publish', WRITE, 'publish/bulk/:pubsub/*topic'),
    grpc: [...rpc('publish.v1', 'BulkPublishEvent'), ...rpc('publish.v1alpha1', 'BulkPublishEventAlpha1')],
  },
  subscribeStream: { http: [], grpc: rpc('subscribe.v1alpha1', 'SubscribeTopicEventsAlpha1') },

  bindingInvoke: {
    http: [at('bindings/v1', WRITE, '/v1.0/bindings/:name')],
    grpc: rpc('bindings.v1', 'InvokeBinding'),
  },
  invoke: { http: [at('invoke/v1', ['*'], '/v1.0/invoke/*target')], grpc: rpc('invoke.v1', 'InvokeService') },

  actorInvoke: {
    http: [at('actors/v1', ['GET', 'POST', 'PUT', 'DELETE'], '/v1.0/actors/:type/:id/method/:method')],
    grpc: rpc('actors.v1', 'InvokeActor'),
  },
  actorStateTransaction: {
    http: [at('actors/v1', WRITE, '/v1.0/actors/:type/:id/state')],
    grpc: rpc('actors.v1', 'ExecuteActorStateTransaction'),
  },
  actorStateGet: {
    http: [at('actors/v1', ['GET'], '/v1.0/actors/:type/:id/state/:key')],
    grpc: rpc('actors.v1', 'GetActorState'),
  },
  actorReminderRegister: {
    http: [at('actors/v1', WRITE, '/v1.0/actors/:type/:id/reminders/:name')],
    grpc: rpc('actors.v1', 'RegisterActorReminder'),
  },
  actorReminderGet: {
    http: [at('actors/v1', ['GET'], '/v1.0/actors/:type/:id/reminders/:name')],
    grpc: rpc('actors.v1', 'GetActorReminder'),
  },
  actorReminderUnregister: {
    http: [at('actors/v1', ['DELETE'], '/v1.0/actors/:type/:id/reminders/:name')],
    grpc: rpc('actors.v1', 'UnregisterActorReminder'),
  },
  actorRemindersByType: {
    http: [],
    grpc: rpc('actors.v1', 'UnregisterActorRemindersByType', 'ListActorReminders'),
  },
  actorTimerRegister: {
    http: [at('actors/v1', WRITE, '/v1.0/actors/:type/:id/timers/:name')],
    grpc: rpc('actors.v1', 'RegisterActorTimer'),
  },
  actorTimerUnregister: {
    http: [at('actors/v1', ['DELETE'], '/v1.0/actors/:type/:id/timers/:name')],
    grpc: rpc('actors.v1', 'UnregisterActorTimer'),
  },
  actorStream: { http: [], grpc: rpc('actors.v1alpha1', 'SubscribeActorEventsAlpha1') },

  secretGet: {
    http: [at('secrets/v1', ['GET'], '/v1.0/secrets/:store/:key')],
    grpc: rpc('secrets.v1', 'GetSecret'),
  },
  secretBulkGet: {
    http: [at('secrets/v1', ['GET'], '/v1.0/secrets/:store/bulk')],
    grpc: rpc('secrets.v1', 'GetBulkSecret'),
  },

  configurationGet: {
    http: both('configuration', ['GET'], 'configuration/:store'),
    grpc: [
      ...rpc('configuration.v1', 'GetConfiguration'),
      ...rpc('configuration.v1alpha1', 'GetConfigurationAlpha1'),
    ],
  },
  configurationSubscribe: {
    http: both('configuration', ['GET'], 'configuration/:store/subscribe'),
    grpc: [
      ...rpc('configuration.v1', 'SubscribeConfiguration'),
      ...rpc('configuration.v1alpha1', 'SubscribeConfigurationAlpha1'),
    ],
  },
  configurationUnsubscribe: {
    http: both('configuration', ['GET'], 'configuration/:store/:id/unsubscribe'),
    grpc: [
      ...rpc('configuration.v1', 'UnsubscribeConfiguration'),
      ...rpc('configuration.v1alpha1', 'UnsubscribeConfigurationAlpha1'),
    ],
  },

  lockTry: {
    http: [at('lock/v1alpha1', ['POST'], '/v1.0-alpha1/lock/:store')],
    grpc: rpc('lock.v1alpha1', 'TryLockAlpha1'),
  },
  lockUnlock: {
    http: [at('unlock/v1alpha1', ['POST'], '/v1.0-alpha1/unlock/:store')],
    grpc: rpc('unlock.v1alpha1', 'UnlockAlpha1'),
  },

  cryptoEncrypt: {
    http: [at('crypto/v1alpha1', ['PUT'], '/v1.0-alpha1/crypto/:name/encrypt')],
    grpc: rpc('crypto.v1alpha1', 'EncryptAlpha1'),
  },
  cryptoDecrypt: {
    http: [at('crypto/v1alpha1', ['PUT'], '/v1.0-alpha1/crypto/:name/decrypt')],
    grpc: rpc('crypto.v1alpha1', 'DecryptAlpha1'),
  },
  subtleGetKey: subtle('getkey', 'GetKey'),
  subtleEncrypt: subtle('encrypt', 'Encrypt'),
  subtleDecrypt: subtle('decrypt', 'Decrypt'),
  subtleWrapKey: subtle('wrapkey', 'WrapKey'),
  subtleUnwrapKey: subtle('unwrapkey', 'UnwrapKey'),
  subtleSign: subtle('sign', 'Sign'),
  subtleVerify: subtle('verify', 'Verify'),

  workflowStart: { http: workflowRoutes('POST', ':workflow/start'), grpc: workflowRpc('Start') },
  workflowGet: { http: workflowRoutes('GET', ':instance'), grpc: workflowRpc('Get') },
  workflowPause: { http: workflowRoutes('POST', ':instance/pause'), grpc: workflowRpc('Pause') },
  workflowResume: { http: workflowRoutes('POST', ':instance/resume'), grpc: workflowRpc('Resume') },
  workflowTerminate: { http: workflowRoutes('POST', ':instance/terminate'), grpc: workflowRpc('Terminate') },
  workflowPurge: { http: workflowRoutes('POST', ':instance/purge'), grpc: workflowRpc('Purge') },
  workflowRaiseEvent: {
    http: workflowRoutes('POST', ':instance/raiseEvent/:event'),
    grpc: [
      ...rpc('workflows.v1alpha1', 'RaiseEventWorkflowAlpha1'),
      ...rpc('workflows.v1beta1', 'RaiseEventWorkflowBeta1'),
    ],
  },

  jobSchedule: {
    http: both('jobs', ['POST'], 'jobs/:name'),
    grpc: [...rpc('jobs.v1', 'ScheduleJob'), ...rpc('jobs.v1alpha1', 'ScheduleJobAlpha1')],
  },
  jobGet: {
    http: both('jobs', ['GET'], 'jobs/:name'),
    grpc: [...rpc('jobs.v1', 'GetJob'), ...rpc('jobs.v1alpha1', 'GetJobAlpha1')],
  },
  jobDelete: {
    http: both('jobs', ['DELETE'], 'jobs/:name'),
    grpc: [...rpc('jobs.v1', 'DeleteJob'), ...rpc('jobs.v1alpha1', 'DeleteJobAlpha1')],
  },
  jobDeleteByPrefix: {
    http: [],
    grpc: [...rpc('jobs.v1', 'DeleteJobsByPrefix'), ...rpc('jobs.v1alpha1', 'DeleteJobsByPrefixAlpha1')],
  },
  jobList: { http: [], grpc: [...rpc('jobs.v1', 'ListJobs'), ...rpc('jobs.v1alpha1', 'ListJobsAlpha1')] },

  converse: {
    http: [at('conversation/v1alpha1', ['POST'], '/v1.0-alpha1/conversation/:name/converse')],
    grpc: rpc('conversation.v1alpha1', 'ConverseAlpha1'),
  },
  converseAlpha2: {
    http: [at('conversation/v1alpha2', ['POST'], '/v1.0-alpha2/conversation/:name/converse')],
    grpc: rpc('conversation.v1alpha2', 'ConverseAlpha2'),
  },

  metadataGet: {
    http: [at('metadata/v1', ['GET'], '/v1.0/metadata')],
    grpc: rpc('metadata.v1', 'GetMetadata'),
  },
  metadataSet: {
    http: [at('metadata/v1', ['PUT'], '/v1.0/metadata/:key')],
    grpc: rpc('metadata.v1', 'SetMetadata'),
  },
  health: { http: [at('', ['GET'], '/v1.0/healthz')], grpc: [] },
  healthOutbound: { http: [at('', ['GET'], '/v1.0/healthz/outbound')], grpc: [] },
  shutdown: { http: [at('shutdown/v1', ['POST'], '/v1.0/shutdown')], grpc: rpc('shutdown.v1', 'Shutdown') },

  /** Ours: where every queued message is (accepted = delivered + pending + dropped). */
  spoolStatus: { http: [at('spool/v1', ['GET'], '/v1.0/skerry/spool')], grpc: [] },
  spoolMessages: { http: [at('spool/v1', ['GET'], '/v1.0/skerry/spool/messages')], grpc: [] },
  spoolFind: { http: [at('spool/v1', ['GET'], '/v1.0/skerry/spool/messages/:id')], grpc: [] },
  spoolRetry: {
    http: [
      at('spool/v1', ['POST'], '/v1.0/skerry/spool/messages/:id/retry'),
      at('spool/v1', ['POST'], '/v1.0/skerry/spool/retry'),
    ],
    grpc: [],
  },
  spoolDrop: { http: [at('spool/v1', ['DELETE'], '/v1.0/skerry/spool/messages/:id')], grpc: [] },

  /** Ours: the flows of the Sync resources and how they stand. */
  syncStatus: { http: [at('sync/v1', ['GET'], '/v1.0/skerry/sync')], grpc: [] },
  syncRetry: { http: [at('sync/v1', ['POST'], '/v1.0/skerry/sync/retry')], grpc: [] },
} as const satisfies Record<string, Operation>;

export type OperationKey = keyof typeof OPERATIONS;
/** Operations that have at least one HTTP route. */
export type HttpOperationKey = {
  [K in OperationKey]: (typeof OPERATIONS)[K]['http'] extends readonly [] ? never : K;
}[OperationKey];
/** Operations that have at least one gRPC method. */
export type GrpcOperationKey = {
  [K in OperationKey]: (typeof OPERATIONS)[K]['grpc'] extends readonly [] ? never : K;
}[OperationKey];
