/**
 * What the first message of a link is compressed against: phrases of Dapr's API as components write them. Part of the
 * packing's name (`PACKING`): whoever changes a byte here makes another packing.
 */

const UUID = '018f2c5e-7d31-7c44-9a10-';

export const WORDS: Buffer = Buffer.from(
  [
    'GET /v1.0/healthz/outbound\n\n',
    '204\n\n200\ncontent-type: application/json; charset=utf-8\n\n200\ncontent-type: application/json\netag: "1"\n\n',
    'GET /v1.0/secrets/vault/ GET /v1.0/configuration/configstore?key=&metadata.ttlInSeconds=',
    'POST /v1.0-alpha1/lock/lockstore\ncontent-type: application/json\n\n{"resourceId":"","lockOwner":"","expiryInSeconds":60}',
    'POST /v1.0/bindings/\ncontent-type: application/json\n\n{"operation":"create","data":{},"metadata":{}}',
    'DELETE /v1.0/state/statestore/key?concurrency=first-write&consistency=strong\nif-match: 1\n\n',
    '{"errorCode":"ERR_PUBSUB_NOT_FOUND","message":"failed saving state in state store statestore: possible etag mismatch. error from state store"}',
    `POST /v1.0/publish/pubsub/events\ncontent-type: application/cloudevents+json\nskerry-message-id: ${UUID}\n\n`,
    'POST /v1.0-alpha1/publish/bulk/pubsub/readings\ncontent-type: application/json\n\n',
    `[{"entryId":"${UUID}","contentType":"application/cloudevents+json","metadata":{"partitionKey":"","priority":"4"},"event":`,
    `{"specversion":"1.0","id":"${UUID}","source":"edge","type":"com.dapr.event.sent","datacontenttype":"application/json",`,
    '"topic":"readings","pubsubname":"pubsub","time":"2026-01-01T00:00:00Z","traceparent":"00-","traceid":"00-","tracestate":"",',
    '"data":{"deviceId":"sensor-1","timestamp":"2026-01-01T00:00:00.000Z","temperature":21.5,"humidity":50.1,"value":1,"status":"ok"}}}]',
    'POST /v1.0/state/statestore/bulk\ncontent-type: application/json\n\n{"keys":["skerry-sync-"],"metadata":{}}',
    `[{"key":"skerry-sync-","data":{"n":1,"b":"${UUID}"},"etag":"1"},{"key":""}]`,
    'POST /v1.0/state/statestore\ncontent-type: application/json\n\n[{"key":"","value":"","etag":"","options":{"concurrency":"first-write","consistency":"strong"}}]',
    'POST /v1.0/state/statestore/transaction\ncontent-type: application/json\n\n{"operations":[{"operation":"delete","request":{"key":""}},',
    `{"operation":"upsert","request":{"key":"skerry-sync-","value":{"n":1,"b":"${UUID}","c":[["`,
    '{"operation":"upsert","request":{"key":"sensor-1","value":{"deviceId":"sensor-1","temperature":21.5},"etag":"1","metadata":{"ttlInSeconds":"60"},"options":{"concurrency":"first-write"}}}],"metadata":{}}',
  ].join(''),
);
