/** Resource files as lists of documents: which files are read, how they are split, what a fault looks like. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Document,
  isScalar,
  LineCounter,
  parseDocument,
  type Scalar,
  type Tags,
  visit,
  type YAMLMap,
} from 'yaml';
import { z } from 'zod';
import { foldMembers } from '../contracts/fold-members.ts';
import type { ResourceOrigin } from '../contracts/resource.ts';
import { indentQuoted } from './lenient-quotes.ts';

/** Something wrong with a document. Fatal faults stop the start; others are warned about and the document is skipped. */
export interface ResourceFault {
  readonly origin: ResourceOrigin;
  /** Dotted path of the member at fault; empty for the document as a whole. */
  readonly field: string;
  readonly message: string;
  readonly fatal: boolean;
  /** The document is not taken although it is meant for us, two have one name, or the folder cannot be read. */
  readonly reason?: 'broken' | 'duplicate' | 'folder';
}

export interface RawDocument {
  readonly origin: ResourceOrigin;
  readonly value: Readonly<Record<string, unknown>>;
}

export interface ReadResult {
  readonly documents: readonly RawDocument[];
  readonly faults: readonly ResourceFault[];
}

/** Largest resource file read; a folder of components has no use for more. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;

export function faultText(fault: ResourceFault): string {
  const where = `${fault.origin.file}${fault.origin.document > 0 ? ` (document ${fault.origin.document})` : ''}`;
  return `${where}: ${fault.field === '' ? '' : `${fault.field}: `}${fault.message}`;
}

/** `value` for a message; a value that is no text by its type. */
export function shown(value: unknown): string {
  return typeof value === 'object' && value !== null
    ? Array.isArray(value)
      ? 'a list'
      : 'an object'
    : String(value);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What YAML 1.1 reads as a time (`2024-01-01`, `12:30`) stays the text it is, as in Go's YAML library. */
const asInGo = (tags: Tags): Tags =>
  tags.filter(
    (tag) => typeof tag === 'string' || (tag.format !== 'TIME' && tag.tag !== 'tag:yaml.org,2002:timestamp'),
  );

/** Longer ones are no numbers that anybody reads. */
const MAX_DIGITS = 400;

/** Integers beyond 2^53 keep all their digits. */
function keepDigits(node: Scalar): void {
  const { value, source = '' } = node;
  if (typeof value !== 'number' || Number.isSafeInteger(value) || source.length > MAX_DIGITS) return;
  if (/^[-+]?[1-9]\d*$/.test(source)) node.value = BigInt(source);
}

/** Most quoted texts put right in one document (see `lenient-quotes.ts`), and characters parsed for it. */
const MAX_REPAIRS = 100;
const MAX_PARSED = 512 * 1024;
const MAX_FAULTS = 1000;

function parseLeniently(text: string): {
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
} {
  let source = text;
  for (let repairs = 0; ; repairs += 1) {
    const lines = new LineCounter();
    const document = parseDocument(source, {
      version: '1.1',
      merge: true,
      logLevel: 'silent',
      // See `checkNodes`.
      uniqueKeys: false,
      lineCounter: lines,
      customTags: asInGo,
    });
    const problem = document.errors[0];
    const quote =
      problem?.code === 'MISSING_CHAR' ? /closing (['"])quote/.exec(problem.message)?.[1] : undefined;
    if (problem === undefined || quote === undefined || repairs === MAX_REPAIRS) return { document, lines };
    // Beyond repair, or too much work.
    if (document.errors.length > MAX_FAULTS || (repairs + 2) * source.length > MAX_PARSED)
      return { document, lines };
    const repaired = indentQuoted(source, quote, problem.pos[0]);
    if (repaired === undefined) return { document, lines };
    source = repaired;
  }
}

/** To resolve an alias the parser looks through the document, so aliases and nodes multiply. */
const MAX_ALIAS_STEPS = 10_000_000;

/**
 * Refuses more aliases than a document of this size may have; integers keep their digits. Returns the position of the first
 * key that its mapping has already; the parser would compare every key with every other.
 */
function checkNodes(document: Document.Parsed): number | undefined {
  let twice: number | undefined;
  let nodes = 0;
  let aliases = 0;
  visit(document, {
    Node: () => {
      nodes += 1;
    },
    Alias: (_key, { source }, path) => {
      aliases += 1;
      // Such a value has no end, and no JSON text.
      if (path.some((node) => (node as { anchor?: string }).anchor === source))
        throw new Error(`*${source} stands inside &${source}`);
    },
    Map: (_key, map) => {
      nodes += 1;
      twice ??= repeatedKey(map);
    },
    Scalar: (_key, node) => {
      nodes += 1;
      keepDigits(node);
    },
  });
  if (aliases * nodes > MAX_ALIAS_STEPS)
    throw new Error(`${aliases} aliases in a document of ${nodes} nodes`);
  return twice;
}

function repeatedKey(map: YAMLMap): number | undefined {
  const seen = new Set<unknown>();
  for (const { key } of map.items) {
    if (!isScalar(key) || key.value === '<<' || typeof key.value === 'symbol') continue;
    if (seen.has(key.value)) return key.range?.[0];
    seen.add(key.value);
  }
  return undefined;
}

/** The members by which a document is chosen. */
const HEAD = z.object({
  apiVersion: z.unknown(),
  kind: z.unknown(),
  metadata: z.object({ name: z.unknown(), namespace: z.unknown() }),
  spec: z.unknown(),
  scopes: z.unknown(),
  auth: z.unknown(),
});

/** Parses one YAML or JSON document by YAML 1.1 rules; aliases are bounded. */
function parseOne(
  text: string,
  origin: ResourceOrigin,
  warn: (fault: ResourceFault) => void,
): RawDocument | ResourceFault | undefined {
  try {
    const { document, lines } = parseLeniently(text);
    const problem = document.errors[0];
    if (problem !== undefined)
      return {
        origin,
        field: '',
        message: `not valid YAML: ${problem.message.split('\n')[0]}`,
        fatal: false,
        reason: 'broken',
      };
    // The last value of a key counts, as in Go's YAML library.
    const twice = checkNodes(document);
    if (twice !== undefined) {
      const message = `a key is given twice, see its line ${lines.linePos(twice).line}`;
      warn({ origin, field: '', message, fatal: false });
    }
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    if (value === null || value === undefined) return undefined;
    if (!isObject(value))
      return {
        origin,
        field: '',
        message: 'expected a mapping with apiVersion, kind, metadata and spec',
        fatal: false,
        reason: 'broken',
      };
    return { origin, value: foldMembers(HEAD, value) as RawDocument['value'] };
  } catch (error) {
    return {
      origin,
      field: '',
      message: `not valid YAML: ${error instanceof Error ? error.message : error}`,
      fatal: false,
      reason: 'broken',
    };
  }
}

/** Splits `text` at lines that begin with `---` and parses each part. */
export function parseDocuments(text: string, file: string): ReadResult {
  const documents: RawDocument[] = [];
  const faults: ResourceFault[] = [];
  text.split(/^---.*$/m).forEach((part, index) => {
    if (part.trim() === '') return;
    const parsed = parseOne(part, { file, document: index + 1 }, (fault) => void faults.push(fault));
    if (parsed === undefined) return;
    if ('message' in parsed) faults.push(parsed);
    else documents.push(parsed);
  });
  return { documents, faults };
}

/** Reads every `.yaml`/`.yml` file of `directory`, sorted by name, not its subfolders. Rejects when there is no such folder. */
export async function readDirectory(directory: string): Promise<ReadResult> {
  const entries = await readdir(directory, { withFileTypes: true });
  const documents: RawDocument[] = [];
  const faults: ResourceFault[] = [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory()) continue;
    const file = join(directory, entry.name);
    const origin = { file, document: 0 };
    if (!/\.ya?ml$/i.test(entry.name)) {
      faults.push({ origin, field: '', message: 'not a .yaml or .yml file, ignored', fatal: false });
      continue;
    }
    const text = await readFile(file, 'utf8').catch((error: Error) => error);
    if (typeof text !== 'string')
      faults.push({
        origin,
        field: '',
        message: `cannot be read: ${text.message}`,
        fatal: false,
        reason: 'broken',
      });
    else if (text.length > MAX_FILE_BYTES)
      faults.push({
        origin,
        field: '',
        message: `larger than ${MAX_FILE_BYTES} bytes`,
        fatal: false,
        reason: 'broken',
      });
    else {
      const read = parseDocuments(text, file);
      documents.push(...read.documents);
      faults.push(...read.faults);
    }
  }
  return { documents, faults };
}
