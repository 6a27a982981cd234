/** Actors over HTTP (Dapr HTTP reference, section 11): type, body and name are looked at in this order. */

import type { ActorsBlock } from '../../contracts/blocks.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { ApiRequest, HttpHandler } from '../api-request.ts';
import { asList, asObject, asText, parseJson, pickMembers } from '../json-fields.ts';
import { checkMessage } from '../message-fields.ts';
import type { HttpHandlers } from '../router.ts';

type ActorHandlers = Pick<
  HttpHandlers,
  | 'actorInvoke'
  | 'actorStateTransaction'
  | 'actorStateGet'
  | 'actorReminderRegister'
  | 'actorReminderGet'
  | 'actorReminderUnregister'
  | 'actorTimerRegister'
  | 'actorTimerUnregister'
>;

export function actorHandlers(actors: ActorsBlock): ActorHandlers {
  const refuse = (request: ApiRequest, direct: boolean, check?: () => Promise<void>): Promise<never> => {
    const [type = '', id = '', name] = request.params;
    return actors.refuse(
      {
        type,
        id,
        direct,
        ...(name === undefined ? {} : { name }),
        ...(check === undefined ? {} : { check }),
      },
      request.call,
    );
  };
  const withoutBody: HttpHandler = (request) => refuse(request, true);
  const withMessage: HttpHandler = async (request) => {
    await checkMessage(request);
    return refuse(request, true);
  };
  const withBody =
    (check: (body: unknown) => void, named = false): HttpHandler =>
    (request) =>
      refuse(request, true, async () => {
        try {
          check(parseJson(await request.body.bytes()));
        } catch (error) {
          throw runtimeError('malformedRequest', { error: errorText(error) }, { cause: error });
        }
        const fault = named ? nameFault(request.param(2)) : undefined;
        if (fault !== undefined) throw runtimeError('badRequest', { error: fault });
      });
  return {
    actorInvoke: (request) => refuse(request, false),
    actorStateTransaction: withBody(checkOperations),
    actorStateGet: withoutBody,
    actorReminderRegister: withBody((body) => checkTexts(body, REMINDER_TEXTS), true),
    actorReminderGet: withoutBody,
    actorReminderUnregister: withMessage,
    actorTimerRegister: withBody((body) => checkTexts(body, TIMER_TEXTS), true),
    actorTimerUnregister: withMessage,
  };
}

const REMINDER_TEXTS = ['duetime', 'period', 'ttl'] as const;
const TIMER_TEXTS = [...REMINDER_TEXTS, 'callback'] as const;

function checkTexts(body: unknown, names: readonly string[]): void {
  const members = pickMembers(asObject(body, 'body'), 'body', names);
  for (const name of names) asText(members[name], name);
}

function checkOperations(body: unknown): void {
  for (const [index, item] of asList(body, 'body').entries())
    asText(pickMembers(item, index, ['operation']).operation, `${index}.operation`);
}

/** Why a reminder or timer cannot be named so: its name becomes a segment of a path of the app. */
function nameFault(name: string): string | undefined {
  if (FORBIDDEN.test(name)) return `name contains forbidden character: ${goQuoted(name)}`;
  const at = name.search(CONTROL);
  if (at >= 0) {
    const position = Buffer.byteLength(name.slice(0, at), 'utf8');
    return `name contains control character at position ${position}: ${goQuoted(name)}`;
  }
  return name === '.' || name === '..' ? `name is a path traversal sequence: ${goQuoted(name)}` : undefined;
}

const FORBIDDEN = /[#?\0/\\]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\x01-\x1f\x7f]/;

function goQuoted(text: string): string {
  return JSON.stringify(text)
    .replace(/\\u00([0-9a-f]{2})/g, '\\x$1')
    .replaceAll('\x7f', '\\x7f');
}
