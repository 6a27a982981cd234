/** Resource files as lists of documents: which files are read, how they are split, what a fault looks like. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Document, parseDocument, type Scalar, type Tags, visit } from 'yaml';
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

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What YAML 1.1 reads as a time (`2024-01-01`, `12:30`) stays the text it is, as in Go's YAML library. */
const asInGo = (tags: Tags): Tags =>
  tags.filter(
    (tag) => typeof tag === 'string' || (tag.format !== 'TIME' && tag.tag !== 'tag:yaml.org,2002:timestamp'),
  );

/** Integers beyond 2^53 keep all their digits. */
function keepDigits(node: Scalar): void {
  const { value, source } = node;
  if (typeof value === 'number' && !Number.isSafeInteger(value) && /^[-+]?[1-9]\d*$/.test(source ?? ''))
    node.value = BigInt(source ?? 0);
}

/** Most quoted texts put right in one document (see `lenient-quotes.ts`). */
const MAX_REPAIRS = 100;

function parseLeniently(text: string): Document.Parsed {
  let source = text;
  for (let repairs = 0; ; repairs += 1) {
    const document = parseDocument(source, {
      version: '1.1',
      merge: true,
      logLevel: 'silent',
      uniqueKeys: true,
      customTags: asInGo,
    });
    const problem = document.errors[0];
    const quote =
      problem?.code === 'MISSING_CHAR' ? /closing (['"])quote/.exec(problem.message)?.[1] : undefined;
    if (problem === undefined || quote === undefined || repairs === MAX_REPAIRS) return document;
    const repaired = indentQuoted(source, quote, problem.pos[0]);
    if (repaired === undefined) return document;
    source = repaired;
  }
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
    const document = parseLeniently(text);
    const problem = document.errors.find(({ code }) => code !== 'DUPLICATE_KEY');
    if (problem !== undefined)
      return {
        origin,
        field: '',
        message: `not valid YAML: ${problem.message.split('\n')[0]}`,
        fatal: false,
        reason: 'broken',
      };
    // The last value of a key counts, as in Go's YAML library.
    const twice = document.errors[0]?.linePos?.[0].line;
    if (twice !== undefined)
      warn({ origin, field: '', message: `a key is given twice, see its line ${twice}`, fatal: false });
    visit(document, { Scalar: (_key, node) => void keepDigits(node) });
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
