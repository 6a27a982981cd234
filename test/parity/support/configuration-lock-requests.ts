/** Configuration and lock requests in neutral words, ready for HTTP and for gRPC. */

import {
  GetConfigurationRequestSchema,
  GetConfigurationResponseSchema,
  SubscribeConfigurationRequestSchema,
  SubscribeConfigurationResponseSchema,
  UnsubscribeConfigurationRequestSchema,
  UnsubscribeConfigurationResponseSchema,
} from '../../../runtime/generated/dapr/proto/runtime/v1/configuration_pb.ts';
import {
  TryLockRequestSchema,
  TryLockResponseSchema,
  UnlockRequestSchema,
  UnlockResponseSchema,
} from '../../../runtime/generated/dapr/proto/runtime/v1/lock_pb.ts';
import { httpOutcome, type ParityRequest } from './cases.ts';
import { grpcOutcome, grpcStreamOutcome } from './grpc-call.ts';
import type { HttpAnswer } from './http-client.ts';
import type { ParityRig } from './rig.ts';

type Item = { readonly value?: string; readonly version?: string; readonly metadata?: object };

/** Items with all members: HTTP leaves empty ones out, gRPC names its types. */
export function itemsOf(items: Readonly<Record<string, Item>>): object {
  return Object.fromEntries(
    Object.entries(items).map(([key, { value = '', version = '', metadata = {} }]) => [
      key,
      { value, version, metadata },
    ]),
  );
}

const json = ({ text }: HttpAnswer): unknown => JSON.parse(text);

export function configurationRequests({ http, grpc }: ParityRig) {
  const send = (tail: string, keys: readonly string[] = []) => {
    const query = keys.map((key) => `key=${key}`).join('&');
    return http.send({ path: `/v1.0/configuration/${tail}${query === '' ? '' : `?${query}`}` });
  };
  return {
    get: (storeName: string, keys: readonly string[]): ParityRequest => ({
      http: () =>
        httpOutcome(send(storeName, keys), (answer) =>
          itemsOf(answer.status === 204 ? {} : (json(answer) as Record<string, Item>)),
        ),
      grpc: () =>
        grpcOutcome(
          grpc,
          'GetConfiguration',
          [GetConfigurationRequestSchema, GetConfigurationResponseSchema],
          { storeName, keys: [...keys] },
          ({ items }) => itemsOf(items),
        ),
    }),
    /** Over gRPC the first message of the stream; the stream ends with it. */
    subscribe: (storeName: string, keys: readonly string[]): ParityRequest => ({
      http: () => httpOutcome(send(`${storeName}/subscribe`, keys), json),
      grpc: () =>
        grpcStreamOutcome(
          grpc,
          'SubscribeConfiguration',
          [SubscribeConfigurationRequestSchema, SubscribeConfigurationResponseSchema],
          { storeName, keys: [...keys] },
          ({ id }) => ({ id }),
        ),
    }),
    unsubscribe: (storeName: string, id: string): ParityRequest => ({
      http: () => httpOutcome(send(`${storeName}/${id}/unsubscribe`), json),
      grpc: () =>
        grpcOutcome(
          grpc,
          'UnsubscribeConfiguration',
          [UnsubscribeConfigurationRequestSchema, UnsubscribeConfigurationResponseSchema],
          { storeName, id },
          ({ ok, message }) => (message === '' ? { ok } : { ok, message }),
        ),
    }),
  };
}

interface Lock {
  readonly resourceId: string;
  readonly lockOwner: string;
  readonly expiryInSeconds: number;
}

export function lockRequests({ http, grpc }: ParityRig) {
  const post = (path: string, body: object) =>
    httpOutcome(http.send({ method: 'POST', path, body: JSON.stringify(body) }), json);
  return {
    tryLock: (storeName: string, wanted: Lock): ParityRequest => ({
      http: () => post(`/v1.0-alpha1/lock/${storeName}`, wanted),
      grpc: () =>
        grpcOutcome(
          grpc,
          'TryLockAlpha1',
          [TryLockRequestSchema, TryLockResponseSchema],
          { storeName, ...wanted },
          ({ success }) => ({ success }),
        ),
    }),
    unlock: (storeName: string, { resourceId, lockOwner }: Lock): ParityRequest => ({
      http: () => post(`/v1.0-alpha1/unlock/${storeName}`, { resourceId, lockOwner }),
      grpc: () =>
        grpcOutcome(
          grpc,
          'UnlockAlpha1',
          [UnlockRequestSchema, UnlockResponseSchema],
          { storeName, resourceId, lockOwner },
          ({ status }) => ({ status }),
        ),
    }),
  };
}
