// Size budgets: a build that outgrows one fails, so growth is a decision and never an accident.

/** Bytes of lib/skerry.cjs; what a node does not use of it (relay, certificates, Sync) is not loaded. */
const BUNDLE_BUDGET = 3_300_000;

export function checkBundleSize(bytes: number): void {
  if (bytes <= BUNDLE_BUDGET) return;
  throw new Error(`the bundle has ${bytes} bytes, its budget is ${BUNDLE_BUDGET} (build/check-size.ts)`);
}
