/** Jobs over HTTP (Dapr HTTP reference, section 17). Both API versions behave the same. */

import type { JobRequest, JobsBlock } from '../../contracts/blocks.ts';
import { runtimeError } from '../../contracts/error.ts';
import { goJson } from '../../contracts/go-json.ts';
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
      await jobs.schedule({ ...decoded.job, name: request.param(0) }, request.call);
      return NO_CONTENT;
    },
    jobGet: async (request) => {
      const { name, schedule, repeats, dueTime, ttl, data } = await jobs.get(request.param(0), request.call);
      return jsonReply(
        200,
        goJson({
          name,
          ...(schedule === undefined ? {} : { schedule }),
          ...(repeats === undefined ? {} : { repeats }),
          ...(dueTime === undefined ? {} : { dueTime }),
          ...(ttl === undefined ? {} : { ttl }),
          ...(data === undefined ? {} : { data: { '@type': VALUE_TYPE, value: data } }),
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
  const job = {
    overwrite: fields.flag('overwrite'),
    ...(schedule === undefined ? {} : { schedule }),
    ...(dueTime === undefined ? {} : { dueTime }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(repeats === undefined ? {} : { repeats }),
    ...(fields.has('data') ? { data: fields.raw('data') } : {}),
  };
  return { nameInBody: (fields.text('name') ?? '') !== '', job };
}
