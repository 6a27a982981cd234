/** `skerry enroll`: makes this data folder a node of a relay. */

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { errorText } from '../contracts/error.ts';
import { FlagError } from '../flags.ts';
import { enrolNode } from '../relay/enroll-client.ts';
import { enrolmentFile, writeEnrolment } from '../relay/enrolment.ts';
import { print, printError } from './output.ts';

const USAGE = `Usage: skerry enroll --relay https://HOST:PORT --token TOKEN --data-dir DIR [--node NAME] [--force]

Makes a key, has the relay certify it, and keeps both in DIR: a node that runs on DIR then holds a link to the relay.
The token comes from 'skerry relay token'. NAME is the host name by default.
`;

/** Runs the command; the exit code. */
export async function enrollCommand(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const values = parse(args);
  if (values.help === true) {
    print(USAGE);
    return 0;
  }
  const { relay, token } = values;
  const dataDir = values['data-dir'] ?? env['SKERRY_DATA_DIR'];
  if (relay === undefined || !URL.canParse(relay) || new URL(relay).protocol !== 'https:')
    throw new FlagError(`enroll: --relay is required, such as https://relay.example.com:8443`);
  if (token === undefined) throw new FlagError("enroll: --token is required: 'skerry relay token' makes one");
  if (dataDir === undefined)
    throw new FlagError('enroll: --data-dir is required: the folder that the node runs on');
  const file = enrolmentFile(dataDir);
  if (existsSync(file) && values.force !== true) {
    printError(`${file} is there already: this node is enrolled (--force enrols it anew)`);
    return 1;
  }
  const node = values.node ?? hostname();
  try {
    const enrolment = await enrolNode({ relay, token, node });
    await mkdir(dataDir, { recursive: true });
    await writeEnrolment(file, enrolment);
    print(`${node} is enrolled at ${enrolment.relay} for ${enrolment.appIds.join(', ')}`);
    return 0;
  } catch (error) {
    printError(errorText(error));
    return 1;
  }
}

function parse(args: readonly string[]) {
  try {
    const text = { type: 'string' } as const;
    return parseArgs({
      args: [...args],
      options: {
        relay: text,
        token: text,
        'data-dir': text,
        node: text,
        force: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new FlagError(`enroll: ${errorText(error)}`);
  }
}
