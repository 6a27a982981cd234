/** The mark in a salvaged database: a row for each user of the file whose tables were made consistent since. */

export const SALVAGED_TABLE = 'skerry_salvaged';
