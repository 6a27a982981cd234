/**
 * The `configuration.sqlite` store: items are rows of one table, written by whoever owns the file. SQLite keeps a number
 * that changes with every commit of another connection, so watching costs one tiny query per interval and no write.
 */

import type { Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type {
  ConfigurationItem,
  ConfigurationItems,
  ConfigurationStore,
} from '../../../runtime/contracts/configuration-store.ts';
import type { Database, Migration, SqlValue } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { openSqlite } from '../../drivers/sqlite/sqlite-metadata.ts';
import type { ConfigurationSqliteMetadata } from './metadata.ts';

interface Subscription {
  readonly keys: readonly string[];
  readonly changed: (items: ConfigurationItems) => void;
  /** What the subscriber knows, as text to compare with. */
  known: Map<string, string>;
}

type Row = Readonly<Record<string, SqlValue>>;

export class ConfigurationSqlite implements ConfigurationStore {
  readonly #metadata: ConfigurationSqliteMetadata;
  readonly #deps: ComponentDeps;
  readonly #subscriptions = new Set<Subscription>();
  #database: Database | undefined;
  #version: SqlValue = null;
  #timer: Timer | undefined;

  constructor(metadata: ConfigurationSqliteMetadata, deps: ComponentDeps) {
    this.#metadata = metadata;
    this.#deps = deps;
  }

  async init(signal: AbortSignal): Promise<void> {
    this.#database = await openSqlite(this.#metadata, [this.#migration()], this.#deps, signal);
    // A read-only or foreign file without the table is found now, not at the first request.
    this.#read([]);
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#subscriptions.clear();
    await this.#database?.close();
    this.#database = undefined;
  }

  async get(keys: readonly string[]): Promise<ConfigurationItems> {
    return this.#read(keys);
  }

  async subscribe(
    keys: readonly string[],
    _metadata: Readonly<Record<string, string>>,
    changed: (items: ConfigurationItems) => void,
  ): Promise<{ close(): Promise<void> }> {
    const subscription: Subscription = { keys, changed, known: texts(this.#read(keys)) };
    if (this.#subscriptions.size === 0) this.#version = this.#dataVersion();
    this.#subscriptions.add(subscription);
    this.#watch();
    return {
      close: async () => {
        this.#subscriptions.delete(subscription);
        if (this.#subscriptions.size > 0) return;
        this.#timer?.cancel();
        this.#timer = undefined;
      },
    };
  }

  #migration(): Migration {
    const { tableName, metadataTableName } = this.#metadata;
    const create =
      `CREATE TABLE IF NOT EXISTS "${tableName}" (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, ` +
      "version TEXT NOT NULL DEFAULT '', metadata TEXT NOT NULL DEFAULT '{}')";
    return { metadataTable: metadataTableName, key: `configuration:${tableName}`, levels: [[create]] };
  }

  #open(): Database {
    if (this.#database === undefined) throw new Error('the configuration store is not open');
    return this.#database;
  }

  #read(keys: readonly string[]): ConfigurationItems {
    const select = `SELECT key, value, version, metadata FROM "${this.#metadata.tableName}"`;
    const rows =
      keys.length === 0
        ? this.#open().read(select)
        : this.#open().read(`${select} WHERE key IN (SELECT value FROM json_each(?))`, [
            JSON.stringify(keys),
          ]);
    return Object.fromEntries(rows.map((row) => [String(row['key']), itemOf(row)]));
  }

  #dataVersion(): SqlValue {
    return this.#open().read('PRAGMA data_version')[0]?.['data_version'] ?? null;
  }

  #watch(): void {
    this.#timer ??= this.#deps.clock.startTimer(
      this.#metadata.pollInterval,
      () => {
        this.#timer = undefined;
        try {
          this.#look();
        } catch (error) {
          this.#deps.log.error('Watching the configuration failed', { error: errorText(error) });
        }
        if (this.#subscriptions.size > 0) this.#watch();
      },
      true,
    );
  }

  #look(): void {
    const version = this.#dataVersion();
    if (version === this.#version) return;
    this.#version = version;
    for (const subscription of this.#subscriptions) {
      const items = this.#read(subscription.keys);
      const known = subscription.known;
      subscription.known = texts(items);
      const changed: Record<string, ConfigurationItem> = {};
      for (const [key, item] of Object.entries(items)) {
        if (known.get(key) !== subscription.known.get(key)) changed[key] = item;
      }
      for (const key of known.keys()) {
        // A removed key arrives as an item with an empty value.
        if (!subscription.known.has(key)) changed[key] = { value: '', version: '', metadata: {} };
      }
      if (Object.keys(changed).length > 0) subscription.changed(changed);
    }
  }
}

function itemOf(row: Row): ConfigurationItem {
  return {
    value: String(row['value']),
    version: String(row['version']),
    metadata: metadataOf(String(row['metadata'])),
  };
}

/** The metadata column is written by people: what is not a JSON object of texts counts as no metadata. */
function metadataOf(text: string): Record<string, string> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return {};
    return Object.fromEntries(Object.entries(parsed).map(([name, value]) => [name, String(value)]));
  } catch {
    return {};
  }
}

function texts(items: ConfigurationItems): Map<string, string> {
  return new Map(Object.entries(items).map(([key, item]) => [key, JSON.stringify(item)]));
}
