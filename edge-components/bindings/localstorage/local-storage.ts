/** Files of one folder as an output binding: create, get, list, delete (components reference, section 3.4). */

import { open, readdir, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Binding, BindingRequest, BindingResponse } from '../../../runtime/contracts/binding.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { type ConfinedPath, confine, openRoot } from './confined-path.ts';
import { dropPartials, durableWrite } from './durable-write.ts';

const OPERATIONS: readonly string[] = ['create', 'get', 'list', 'delete'];
/** Folder of files that are being written; listings leave it out. */
const PARTIAL_FOLDER = '.skerry-partial';
/** An answer lies in memory as a whole. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;
const MAX_LISTED_FILES = 100_000;

export function createLocalStorageBinding(
  rootPath: string,
  deps: Pick<ComponentDeps, 'ids' | 'componentName'>,
): Binding {
  let root: string | undefined;

  const pathOf = async (at: string, name: string): Promise<ConfinedPath> => {
    const path = await confine(at, name).catch((error) => {
      throw new Error(`error getting absolute path for file ${name}: ${errorText(error)}`);
    });
    if (path.relative === PARTIAL_FOLDER || path.relative.startsWith(`${PARTIAL_FOLDER}/`))
      throw new Error(`invalid fileName '${name}': this folder is reserved`);
    return path;
  };

  const create = async (at: string, request: BindingRequest): Promise<BindingResponse> => {
    const given = request.metadata['fileName'] ?? '';
    const path = await pathOf(at, given === '' ? deps.ids.uuid() : given);
    if (path.relative === '') throw new Error(`invalid fileName '${given}': it names the folder itself`);
    await durableWrite(
      path.absolute,
      contentOf(request.data),
      join(at, PARTIAL_FOLDER, deps.ids.uuid()),
    ).catch((error) => {
      throw new Error(`error creating file ${path.absolute}: ${errorText(error)}`);
    });
    return { data: Buffer.from(JSON.stringify({ fileName: path.relative })) };
  };

  return {
    operations: OPERATIONS,
    init: async () => {
      root = await openRoot(rootPath);
      await dropPartials(join(root, PARTIAL_FOLDER));
    },
    invoke: async (request) => {
      const at = root;
      if (at === undefined) throw new Error(`binding ${deps.componentName} is closed`);
      if (request.operation === 'create') return await create(at, request);
      const name = request.metadata['fileName'] ?? '';
      if (name === '' && request.operation !== 'list')
        throw new Error(`required metadata 'fileName' is missing for operation ${request.operation}`);
      const { absolute, relative } = await pathOf(at, name);
      switch (request.operation) {
        case 'get':
          return { data: await readWhole(absolute) };
        case 'list':
          return { data: Buffer.from(JSON.stringify(await listFiles(absolute))) };
        case 'delete':
          if (relative === '') throw new Error(`invalid fileName '${name}': it names the folder itself`);
          await remove(absolute);
          return undefined;
        default:
          throw new Error(`unsupported operation ${request.operation}`);
      }
    },
    close: async () => {
      root = undefined;
    },
  };
}

/** What is written: a JSON text without its quotes, then decoded when all of it is base64. */
export function contentOf(data: Uint8Array): Uint8Array {
  let bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length >= 2 && bytes[0] === 0x22 && bytes.at(-1) === 0x22) {
    try {
      const text: unknown = JSON.parse(bytes.toString('utf8'));
      if (typeof text === 'string') bytes = Buffer.from(text, 'utf8');
    } catch {
      // Not a JSON text after all: kept as it is.
    }
  }
  const text = bytes.toString('latin1').replace(/[\r\n]/g, '');
  const isBase64 = text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
  return isBase64 ? Buffer.from(text, 'base64') : bytes;
}

async function readWhole(path: string): Promise<Uint8Array> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new Error(`file not found: ${path}`);
    throw new Error(`error opening path ${path}: ${error.message}`);
  });
  try {
    const { size } = await handle.stat();
    if (size > MAX_FILE_BYTES) throw new Error(`${size} bytes are more than the limit of ${MAX_FILE_BYTES}`);
    return await handle.readFile();
  } catch (error) {
    throw new Error(`error reading file ${path}: ${errorText(error)}`);
  } finally {
    await handle.close();
  }
}

async function remove(path: string): Promise<void> {
  try {
    await unlink(path).catch(async (error: NodeJS.ErrnoException) => {
      // Unlinking a folder is EISDIR on Linux and EPERM elsewhere; an empty one may go.
      if (error.code !== 'EISDIR' && error.code !== 'EPERM') throw error;
      await rmdir(path);
    });
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const reason = missing ? `remove ${path}: no such file or directory` : errorText(error);
    throw new Error(`error deleting file ${path}: ${reason}`);
  }
}

/** Absolute paths of all files below `folder`, in the order of their names; links are listed, not followed. */
async function listFiles(folder: string): Promise<readonly string[]> {
  const info = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'ENOENT' ? `stat ${folder}: no such file or directory` : error.message;
    throw new Error(`error getting stats for path ${folder}: ${reason}`);
  });
  if (!info.isDirectory())
    throw new Error(`unable to list files as the file specified is not a directory: ${folder}`);
  const files: string[] = [];
  const walk = async (at: string): Promise<void> => {
    const entries = await readdir(at, { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.isDirectory()) {
        if (entry.name !== PARTIAL_FOLDER) await walk(join(at, entry.name));
      } else if (files.push(join(at, entry.name)) > MAX_LISTED_FILES) {
        throw new Error(
          `error listing files in the directory ${folder}: more than ${MAX_LISTED_FILES} files`,
        );
      }
    }
  };
  await walk(folder);
  return files;
}
