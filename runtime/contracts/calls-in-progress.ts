/**
 * Counts the calls in progress over all servers of the process. What thousands of them hold lives long enough to be taken
 * for permanent, and V8 then lets garbage grow to several times of it: the listener makes it collect sooner.
 */

/** So many are many: an app that keeps up never has them. */
const MANY = 1000;
/** And so many are few again. */
const FEW = 250;

let calls = 0;
let many = false;
let listener: ((many: boolean) => void) | undefined;

/** A call begins. */
export function callBegins(): void {
  calls += 1;
  if (many || calls < MANY) return;
  many = true;
  listener?.(true);
}

/** A call has ended. */
export function callEnds(): void {
  calls -= 1;
  if (!many || calls > FEW) return;
  many = false;
  listener?.(false);
}

/** Sets who is told when calls become many or few, one for the process. */
export function onManyCalls(tell: ((many: boolean) => void) | undefined): void {
  listener = tell;
}
