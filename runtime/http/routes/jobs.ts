/** Jobs over HTTP (Dapr HTTP reference, section 17). Both API versions behave the same. */

import type { JobFailurePolicy, JobRequest, JobsBlock } from '../../contracts/blocks.ts';
import { runtimeError } from '../../contracts/error.ts';
import { goJson } from '../../contracts/go-json.ts';
import { FieldError } from '../json-fields.ts';
import { type MessageFields, readMessage } from '../message-fields.ts';
import { jsonReply, NO_CONTENT } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

const UINT32_MAX = 2 ** 32 - 1;
const VALUE_TYPE = 'type.googleapis.com/google.protobuf.Value';

export function jobHandlers(
  jobs: JobsBlock,
  appId: string,
): Pick<HttpHandlers, 'jobSchedule' | 'jobGet' | 'jobDelete'> {
  return {
    jobSchedule: async (request) => {
      const decoded = await readMessage(request, decodeJob);
      if (decoded.nameInBody) throw runtimeError('jobNameInBody', {}, { info: { appID: appId } });
      await jobs.schedule({ ...decoded.job, name: request.param(0).trim() }, request.call);
      return NO_CONTENT;
    },
    jobGet: async (request) => {
      const job = await jobs.get(request.param(0), request.call);
      const { name, schedule, repeats, dueTime, ttl, data, failurePolicy } = job;
      return jsonReply(
        200,
        goJson({
          name,
          ...(schedule === undefined ? {} : { schedule }),
          ...(repeats === undefined ? {} : { repeats }),
          ...(dueTime === undefined ? {} : { dueTime }),
          ...(ttl === undefined ? {} : { ttl }),
          ...(data === undefined ? {} : { data: { '@type': VALUE_TYPE, value: data } }),
          ...(failurePolicy === undefined ? {} : { failurePolicy: policyJson(failurePolicy) }),
        }),
      );
    },
    jobDelete: async (request) => {
      await jobs.delete(request.param(0), request.call);
      return NO_CONTENT;
    },
  };
}

function decodeJob(fields: MessageFields): {
  readonly nameInBody: boolean;
  readonly job: Omit<JobRequest, 'name'>;
} {
  const schedule = fields.text('schedule');
  const dueTime = fields.text('dueTime');
  const ttl = fields.text('ttl');
  const repeats = fields.integer('repeats', 0, UINT32_MAX);
  const failurePolicy = decodePolicy(fields.message('failurePolicy'));
  const job = {
    overwrite: fields.flag('overwrite'),
    ...(schedule === undefined ? {} : { schedule }),
    ...(dueTime === undefined ? {} : { dueTime }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(repeats === undefined ? {} : { repeats }),
    ...(fields.has('data') ? { data: fields.raw('data') } : {}),
    ...(failurePolicy === undefined ? {} : { failurePolicy }),
  };
  return { nameInBody: (fields.text('name') ?? '') !== '', job };
}

function decodePolicy(fields: MessageFields): JobFailurePolicy | undefined {
  if (fields.has('drop') && fields.has('constant'))
    throw new FieldError('proto: error parsing "constant": oneof policy is already set');
  if (fields.has('drop')) {
    fields.message('drop');
    return { kind: 'drop' };
  }
  if (!fields.has('constant')) return undefined;
  const constant = fields.message('constant');
  const intervalMs = durationMs(constant, 'interval');
  const maxRetries = constant.integer('maxRetries', 0, UINT32_MAX);
  return {
    kind: 'constant',
    ...(intervalMs === undefined ? {} : { intervalMs }),
    ...(maxRetries === undefined ? {} : { maxRetries }),
  };
}

/** JSON form of `google.protobuf.Duration`. */
function durationMs(fields: MessageFields, name: string): number | undefined {
  const text = fields.text(name);
  if (text === undefined) return undefined;
  const what = `for field ${fields.placeOf(name)}: "${text.slice(0, LONGEST_SHOWN)}"`;
  const seconds = /^(-?\d+(?:\.\d{1,9})?)s$/.exec(text)?.[1];
  if (seconds === undefined) throw new FieldError(`proto: invalid google.protobuf.Duration value ${what}`);
  if (Math.abs(Number(seconds)) > MAX_DURATION_S)
    throw new FieldError(`proto: google.protobuf.Duration value out of range ${what}`);
  return Number(seconds) * 1000;
}

const LONGEST_SHOWN = 200;
const MAX_DURATION_S = 315_576_000_000;

function policyJson(policy: JobFailurePolicy): object {
  if (policy.kind === 'drop') return { drop: {} };
  const { intervalMs, maxRetries } = policy;
  return {
    constant: {
      ...(intervalMs === undefined ? {} : { interval: `${intervalMs / 1000}s` }),
      ...(maxRetries === undefined ? {} : { maxRetries }),
    },
  };
}
