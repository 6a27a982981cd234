/** Actors over HTTP (Dapr HTTP reference, section 11). A body that cannot be decoded is refused before anything else. */

import type { ActorsBlock } from '../../contracts/blocks.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { ApiRequest, HttpHandler } from '../api-request.ts';
import { asList, asObject, parseJson } from '../json-fields.ts';
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
  const refuse = (request: ApiRequest, direct: boolean): Promise<never> => {
    const [type = '', id = '', name] = request.params;
    return actors.refuse({ type, id, direct, ...(name === undefined ? {} : { name }) }, request.call);
  };
  const withoutBody: HttpHandler = (request) => refuse(request, true);
  const withBody =
    (check: (body: unknown) => void): HttpHandler =>
    async (request) => {
      try {
        check(parseJson(await request.body.bytes()));
      } catch (error) {
        throw runtimeError('malformedRequest', { error: errorText(error) }, { cause: error });
      }
      return refuse(request, true);
    };
  return {
    actorInvoke: (request) => refuse(request, false),
    actorStateTransaction: withBody((body) => void asList(body, 'body')),
    actorStateGet: withoutBody,
    actorReminderRegister: withBody((body) => void asObject(body, 'body')),
    actorReminderGet: withoutBody,
    actorReminderUnregister: withoutBody,
    actorTimerRegister: withBody((body) => void asObject(body, 'body')),
    actorTimerUnregister: withoutBody,
  };
}
