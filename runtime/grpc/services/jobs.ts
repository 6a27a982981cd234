/** Jobs over gRPC (gRPC reference, section 2.7); the alpha twins behave alike. */

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { AnySchema, durationMs } from '@bufbuild/protobuf/wkt';
import type { JobFailurePolicy, JobRequest } from '../../contracts/blocks.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import { runtimeError } from '../../contracts/error.ts';
import type {
  JobFailurePolicySchema,
  JobFailurePolicy as PolicyMessage,
} from '../../generated/dapr/proto/common/v1/common_pb.ts';
import {
  DeleteJobRequestSchema,
  DeleteJobResponseSchema,
  DeleteJobsByPrefixRequestAlpha1Schema,
  DeleteJobsByPrefixResponseAlpha1Schema,
  GetJobRequestSchema,
  GetJobResponseSchema,
  type Job,
  type JobSchema,
  ListJobsRequestAlpha1Schema,
  ListJobsResponseAlpha1Schema,
  ScheduleJobRequestSchema,
  ScheduleJobResponseSchema,
} from '../../generated/dapr/proto/runtime/v1/jobs_pb.ts';
import {
  DeleteJobsByPrefixRequestSchema,
  DeleteJobsByPrefixResponseSchema,
  ListJobsRequestSchema,
  ListJobsResponseSchema,
} from '../../generated/skerry_additions_pb.ts';
import { type Operations, type ServiceDeps, unary } from './method.ts';

type JobKeys = 'jobSchedule' | 'jobGet' | 'jobDelete' | 'jobDeleteByPrefix' | 'jobList';

/** The job operations. */
export function jobOperations({ blocks: { jobs }, appId, namespace }: ServiceDeps): Operations<JobKeys> {
  const info = { appID: appId, namespace: namespace === '' ? 'default' : namespace };
  const deleteByPrefix = async (
    request: { readonly namePrefix?: string | undefined },
    call: CallContext,
  ): Promise<object> => {
    await jobs.deleteByPrefix(request.namePrefix ?? '', call);
    return {};
  };
  const list = async (
    _request: object,
    call: CallContext,
  ): Promise<{ jobs: MessageInitShape<typeof JobSchema>[] }> => ({
    jobs: (await jobs.list(call)).map(messageOf),
  });
  return {
    jobSchedule: unary(
      ScheduleJobRequestSchema,
      ScheduleJobResponseSchema,
      async ({ job, overwrite }, call) => {
        if (job === undefined) throw runtimeError('jobEmpty', {}, { info });
        await jobs.schedule(requestOf(job, overwrite), call);
        return {};
      },
    ),
    jobGet: unary(GetJobRequestSchema, GetJobResponseSchema, async ({ name }, call) => ({
      job: messageOf(await jobs.get(name, call)),
    })),
    jobDelete: unary(DeleteJobRequestSchema, DeleteJobResponseSchema, async ({ name }, call) => {
      await jobs.delete(name, call);
      return {};
    }),
    jobDeleteByPrefix: {
      DeleteJobsByPrefix: unary(
        DeleteJobsByPrefixRequestSchema,
        DeleteJobsByPrefixResponseSchema,
        deleteByPrefix,
      ),
      DeleteJobsByPrefixAlpha1: unary(
        DeleteJobsByPrefixRequestAlpha1Schema,
        DeleteJobsByPrefixResponseAlpha1Schema,
        deleteByPrefix,
      ),
    },
    jobList: {
      ListJobs: unary(ListJobsRequestSchema, ListJobsResponseSchema, list),
      ListJobsAlpha1: unary(ListJobsRequestAlpha1Schema, ListJobsResponseAlpha1Schema, list),
    },
  };
}

function requestOf(job: Job, overwrite: boolean): JobRequest {
  return {
    name: job.name,
    overwrite,
    ...(job.schedule === undefined ? {} : { schedule: job.schedule }),
    ...(job.dueTime === undefined ? {} : { dueTime: job.dueTime }),
    ...(job.repeats === undefined ? {} : { repeats: job.repeats }),
    ...(job.ttl === undefined ? {} : { ttl: job.ttl }),
    ...(job.data === undefined ? {} : { data: toBinary(AnySchema, job.data) }),
    ...policyOf(job.failurePolicy),
  };
}

function policyOf(message: PolicyMessage | undefined): { failurePolicy?: JobFailurePolicy } {
  const { case: kind, value } = message?.policy ?? { case: undefined };
  if (kind === undefined) return {};
  if (kind === 'drop') return { failurePolicy: { kind } };
  const { interval, maxRetries } = value;
  return {
    failurePolicy: {
      kind,
      ...(interval === undefined ? {} : { intervalMs: durationMs(interval) }),
      ...(maxRetries === undefined ? {} : { maxRetries }),
    },
  };
}

function durationOf(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.trunc(ms / 1000)), nanos: Math.round((ms % 1000) * 1_000_000) };
}

function policyMessage(policy: JobFailurePolicy): MessageInitShape<typeof JobFailurePolicySchema> {
  if (policy.kind === 'drop') return { policy: { case: 'drop', value: {} } };
  const { intervalMs, maxRetries } = policy;
  const value = {
    ...(intervalMs === undefined ? {} : { interval: durationOf(intervalMs) }),
    ...(maxRetries === undefined ? {} : { maxRetries }),
  };
  return { policy: { case: 'constant', value } };
}

function messageOf(job: JobRequest): MessageInitShape<typeof JobSchema> {
  return {
    name: job.name,
    ...(job.schedule === undefined ? {} : { schedule: job.schedule }),
    ...(job.dueTime === undefined ? {} : { dueTime: job.dueTime }),
    ...(job.repeats === undefined ? {} : { repeats: job.repeats }),
    ...(job.ttl === undefined ? {} : { ttl: job.ttl }),
    ...(job.data instanceof Uint8Array ? { data: create(AnySchema, fromBinary(AnySchema, job.data)) } : {}),
    ...(job.failurePolicy === undefined ? {} : { failurePolicy: policyMessage(job.failurePolicy) }),
  };
}
