/**
 * What becomes of one key that is kept on two sides. Pure: the same three versions always give the same outcome. `base` is
 * what both sides had when they last agreed; a side that still has it did not change. The outcome brings the local side
 * onto the remote one ("rebase"), after which what is local goes over there only if nobody changed it meanwhile.
 *
 * Invariant: a version that is not kept was either known to whoever replaced it, or stands in the conflict.
 */

import type { ConflictRule } from '../../contracts/resource.ts';
import { canonicalJson, type FieldConflict, isJsonObject, type Json, mergeObjects } from './merge-json.ts';

/** A value and its canonical text; `undefined` for a key that is not there. */
export interface Version {
  readonly text: string | undefined;
  /** Hybrid time of its write. */
  readonly stamp: number;
}

export interface Base {
  /** Canonical text, or what `token` made of it. */
  readonly token: string;
  /** The text itself where `merge` needs it. */
  readonly text?: string | undefined;
  /** The question that is open: tokens of the two versions that were shown. */
  readonly asked?: { readonly local: string; readonly remote: string } | undefined;
}

/** Two versions of which not both can be kept; told to people before one of them goes. */
export interface Conflict {
  readonly kept: 'local' | 'remote' | 'merged' | 'both';
  /** Of `merge`: the fields that both sides changed. */
  readonly fields?: readonly FieldConflict[];
}

export interface Review {
  /** What both sides agree on from now on; absent: as before. */
  readonly base?: Base;
  /** Local value to write, `text: undefined` deletes. */
  readonly write?: Pick<Version, 'text' | 'stamp'>;
  /** The local value has to go to the remote side. */
  readonly push: boolean;
  readonly conflict?: Conflict;
}

export interface ReviewRequest {
  readonly rule: ConflictRule;
  readonly base: Base;
  readonly local: Version;
  readonly remote: Version;
  /** Short form of a text for comparison. */
  readonly token: (text: string | undefined) => string;
  /** The time of a merge: later than both. */
  readonly now: number;
}

/** What to do about a key, given both sides. */
export function review(request: ReviewRequest): Review {
  const { base, local, remote, token } = request;
  const localToken = token(local.text);
  const remoteToken = token(remote.text);
  const rebased: Base = { token: remoteToken, text: remote.text };
  if (localToken === remoteToken) {
    const agreed = base.token === remoteToken && base.asked === undefined;
    return agreed ? { push: false } : { base: rebased, push: false };
  }
  // An open question is answered by the next write of either side, whatever it writes.
  if (request.rule === 'ask' && base.asked !== undefined)
    return ask(request, rebased, localToken, remoteToken);
  if (remoteToken === base.token) return { push: true };
  if (localToken === base.token) return { base: rebased, write: remote, push: false };
  switch (request.rule) {
    case 'edge-wins':
      return { base: rebased, push: true, conflict: { kept: 'local' } };
    case 'cloud-wins':
      return { base: rebased, write: remote, push: false, conflict: { kept: 'remote' } };
    case 'last-write':
      return lastWrite(request, rebased);
    case 'merge':
      return merge(request, rebased);
    case 'ask':
      return ask(request, rebased, localToken, remoteToken);
  }
}

/** The later write; of two at the same time the greater text, so that the outcome does not depend on who looks. */
function localIsLater(local: Version, remote: Version): boolean {
  if (local.stamp !== remote.stamp) return local.stamp > remote.stamp;
  return (local.text ?? '') > (remote.text ?? '');
}

function lastWrite({ local, remote }: ReviewRequest, rebased: Base): Review {
  return localIsLater(local, remote)
    ? { base: rebased, push: true, conflict: { kept: 'local' } }
    : { base: rebased, write: remote, push: false, conflict: { kept: 'remote' } };
}

/** Objects by field; where one side has no object, or the key is gone on one side, the later write. */
function merge(request: ReviewRequest, rebased: Base): Review {
  const { base, local, remote } = request;
  const [was, here, there] = [base.text, local.text, remote.text].map(objectIn);
  if (here === undefined || there === undefined) return lastWrite(request, rebased);
  const merged = mergeObjects(was ?? {}, here, there, localIsLater(local, remote));
  const text = canonicalJson(merged.value);
  const conflict =
    merged.conflicts.length === 0
      ? {}
      : { conflict: { kept: 'merged', fields: merged.conflicts } satisfies Conflict };
  if (text === remote.text) return { base: rebased, write: remote, push: false, ...conflict };
  if (text === local.text) return { base: rebased, push: true, ...conflict };
  return { base: rebased, write: { text, stamp: request.now }, push: true, ...conflict };
}

/** Both versions stay where they are until one side writes again: that write is the answer. */
function ask(
  { base, remote }: ReviewRequest,
  rebased: Base,
  localToken: string,
  remoteToken: string,
): Review {
  const { asked } = base;
  if (asked !== undefined) {
    const answeredHere = asked.local !== localToken;
    const answeredThere = asked.remote !== remoteToken;
    if (!answeredHere && !answeredThere) return { push: false };
    if (!answeredThere) return { base: rebased, push: true };
    if (!answeredHere) return { base: rebased, write: remote, push: false };
  }
  return {
    base: { ...base, asked: { local: localToken, remote: remoteToken } },
    push: false,
    conflict: { kept: 'both' },
  };
}

function objectIn(text: string | undefined) {
  if (text === undefined) return undefined;
  const value = JSON.parse(text) as Json;
  return isJsonObject(value) ? value : undefined;
}
