/** The least time between two refreshes: however much changes, a page asks for each of its lists once in it. */
const LEAST_MILLISECONDS = 1000;
/** A page waits for refreshes a fiftieth of the time at most: what a busy gateway answers slowly is asked for rarely. */
const FACTOR = 50;
export const LONGEST_MILLISECONDS = 30_000;

/** Return how long after the beginning of a refresh, which took so long, the next one may be. */
export function pauseAfter(milliseconds: number): number {
  return Math.min(Math.max(LEAST_MILLISECONDS, FACTOR * milliseconds), LONGEST_MILLISECONDS);
}
