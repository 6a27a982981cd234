/** Identifiers, behind an interface so that tests can predict them. */

export interface Ids {
  /** A random UUID v4: ETags, CloudEvent ids, instance ids. */
  uuid(): string;
  /** A UUID v7, ordered by creation time: spool messages. */
  uuidv7(): string;
}
