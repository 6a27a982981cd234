/**
 * A disk as the recorded process used it. What was synced is certain; of everything later any part may be there after a
 * power cut: any subset of the writes, each torn at sector size, whatever their order; any subset of new, renamed and
 * removed names. A file's sync keeps its content, a folder's sync keeps the names in it (POSIX, no more).
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Random } from '../../runtime/contracts/random.ts';
import { RECORD, type TraceEvent } from './trace.ts';

const SECTOR = 512;

/** `data` absent: set the size to `at`. */
interface Change {
  readonly at: number;
  readonly data?: Buffer;
}

interface FileNode {
  kind: 'file' | 'folder';
  synced: Buffer;
  size: number;
  pending: Change[];
}

type NameChange = { readonly folder: string } & (
  | { readonly kind: 'add'; readonly name: string; readonly node: FileNode }
  | { readonly kind: 'remove'; readonly name: string }
);

/** How the unsynced part of the disk turned out. */
export type CutStyle = 'all' | 'none' | 'prefix' | 'subset' | 'torn';
export const CUT_STYLES: readonly CutStyle[] = ['all', 'none', 'prefix', 'subset', 'torn'];

export class DiskModel {
  /** As the process sees it. */
  readonly #live = new Map<string, FileNode>();
  /** Names that are certain. */
  readonly #durable = new Map<string, FileNode>();
  #names: NameChange[] = [];
  /** Syncs under way: what they will have made certain once they return. */
  readonly #syncs = new Map<
    string,
    { node: FileNode | undefined; changes: number; names: readonly NameChange[] }
  >();

  apply(event: TraceEvent): void {
    const { type, name } = event;
    switch (type) {
      case RECORD.create:
        this.#add(name, { kind: 'file', synced: Buffer.alloc(0), size: 0, pending: [] });
        break;
      case RECORD.mkdir:
        this.#add(name, { kind: 'folder', synced: Buffer.alloc(0), size: 0, pending: [] });
        break;
      case RECORD.write:
        this.#live.get(name)?.pending.push({ at: event.a, data: event.data });
        break;
      case RECORD.truncate:
        this.#live.get(name)?.pending.push({ at: event.a });
        break;
      case RECORD.unlink:
        this.#live.delete(name);
        this.#names.push({ folder: folderOf(name), kind: 'remove', name });
        break;
      case RECORD.rename:
        this.#rename(name, event.data.toString());
        break;
      case RECORD.syncBegin: {
        const node = this.#live.get(name);
        const names = this.#names.filter((change) => change.folder === name);
        this.#syncs.set(`${name}:${event.a}`, { node, changes: node?.pending.length ?? 0, names });
        break;
      }
      case RECORD.syncEnd:
        this.#synced(`${name}:${event.a}`);
        break;
    }
  }

  /** The process was killed: syncs it waited for promise nothing. */
  processEnded(): void {
    this.#syncs.clear();
  }

  #add(name: string, node: FileNode): void {
    this.#live.set(name, node);
    this.#names.push({ folder: folderOf(name), kind: 'add', name, node });
  }

  #rename(from: string, to: string): void {
    const node = this.#live.get(from);
    if (node === undefined) return;
    this.#live.delete(from);
    this.#names.push({ folder: folderOf(from), kind: 'remove', name: from });
    this.#add(to, node);
    // What lies in a renamed folder moves with it.
    for (const [name, inner] of [...this.#live])
      if (name.startsWith(`${from}/`)) {
        this.#live.delete(name);
        this.#live.set(to + name.slice(from.length), inner);
      }
  }

  #synced(key: string): void {
    const sync = this.#syncs.get(key);
    if (sync === undefined) return;
    this.#syncs.delete(key);
    if (sync.node !== undefined && sync.node.kind === 'file') {
      const { node, changes } = sync;
      const content = applyChanges(node, node.pending.splice(0, changes));
      node.synced = content.buffer;
      node.size = content.size;
      // Another sync of the same file that began earlier covers less by now.
      for (const other of this.#syncs.values())
        if (other.node === node) other.changes = Math.max(0, other.changes - changes);
    }
    const kept = new Set(sync.names);
    for (const change of this.#names) if (kept.has(change)) applyName(this.#durable, change);
    this.#names = this.#names.filter((change) => !kept.has(change));
  }

  /** Writes the disk as a power cut now would leave it. Shared-memory files of SQLite are no content and left out. */
  rebuild(target: string, style: CutStyle, random: Random): void {
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    const names = new Map(this.#durable);
    const chance = random.float();
    const upTo = style === 'prefix' ? Math.floor(random.float() * (this.#names.length + 1)) : 0;
    this.#names.forEach((change, index) => {
      const there =
        style === 'all' || (style === 'prefix' ? index < upTo : style !== 'none' && random.float() < chance);
      if (there) applyName(names, change);
    });
    const byDepth = [...names].sort(([a], [b]) => a.split('/').length - b.split('/').length);
    for (const [name, node] of byDepth) {
      if (name.endsWith('-shm') || !parentsThere(name, names)) continue;
      const path = join(target, name);
      if (node.kind === 'folder') mkdirSync(path, { recursive: true });
      else {
        const { buffer, size } = applyChanges(node, survivors(node.pending, style, random), true);
        writeFileSync(path, buffer.subarray(0, size), { mode: 0o600 });
      }
    }
  }
}

function folderOf(name: string): string {
  const folder = dirname(name);
  return folder === '.' ? '' : folder;
}

function parentsThere(name: string, names: ReadonlyMap<string, FileNode>): boolean {
  for (let folder = folderOf(name); folder !== ''; folder = folderOf(folder))
    if (names.get(folder)?.kind !== 'folder') return false;
  return true;
}

function applyName(names: Map<string, FileNode>, change: NameChange): void {
  if (change.kind === 'add') names.set(change.name, change.node);
  else names.delete(change.name);
}

/** The changes that reached the disk, in order; a torn one as the sectors of it that did. */
function survivors(pending: readonly Change[], style: CutStyle, random: Random): Change[] {
  if (style === 'all') return [...pending];
  if (style === 'none') return [];
  if (style === 'prefix') {
    const kept = pending.slice(0, Math.floor(random.float() * (pending.length + 1)));
    const last = pending[kept.length];
    return last?.data === undefined ? kept : [...kept, ...sectorsOf(last, 0.5, random)];
  }
  const chance = random.float();
  if (style === 'subset') return pending.filter(() => random.float() < chance);
  return pending.flatMap((change) =>
    change.data === undefined ? (random.float() < chance ? [change] : []) : sectorsOf(change, chance, random),
  );
}

function sectorsOf(change: Change, chance: number, random: Random): Change[] {
  const { at, data } = change;
  if (data === undefined) return [change];
  const parts: Change[] = [];
  for (let from = 0; from < data.length; ) {
    const to = Math.min(data.length, from + SECTOR - ((at + from) % SECTOR));
    if (random.float() < chance) parts.push({ at: at + from, data: data.subarray(from, to) });
    from = to;
  }
  return parts;
}

/** Content after the changes; `copy` leaves the node's own buffer alone. */
function applyChanges(
  node: FileNode,
  changes: readonly Change[],
  copy = false,
): { buffer: Buffer; size: number } {
  let buffer = node.synced;
  let size = node.size;
  if (changes.length === 0) return { buffer, size };
  if (copy) buffer = Buffer.from(buffer);
  for (const { at, data } of changes) {
    const end = data === undefined ? at : at + data.length;
    if (end > buffer.length) {
      const larger = Buffer.alloc(Math.max(end, copy ? end : buffer.length * 2));
      buffer.copy(larger, 0, 0, size);
      buffer = larger;
    }
    if (data === undefined) {
      if (at < size) buffer.fill(0, at, size);
      size = at;
    } else {
      data.copy(buffer, at);
      size = Math.max(size, end);
    }
  }
  return { buffer, size };
}
