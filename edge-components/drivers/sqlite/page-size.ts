/**
 * Page size of new files; those that exist keep theirs. A commit writes every page that it touched whole, so small pages
 * are what a commit of few messages costs the card: with 1 KiB half of what the usual 4 KiB cost.
 */
export const PAGE_SIZE = 1024;
