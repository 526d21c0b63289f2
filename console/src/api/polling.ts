import { useLive } from "./live/state";
import { isGone } from "./problem";

/** What is known of a query. */
interface Polled<Data> {
  state: { data?: Data | undefined; error: unknown };
}

/**
 * Return a query's `refetchInterval` for what the stream of changes does not tell.
 *
 * `next` is in milliseconds, or says by what is known how many. What has been deleted is not asked for again, and
 * nothing is while live updates are paused.
 */
export function usePolling<Data = unknown>(next: number | ((data: Data | undefined) => number | false)) {
  const isPaused = useLive((live) => live.isPaused);
  return ({ state: { data, error } }: Polled<NoInfer<Data>>): number | false => {
    if (isPaused || isGone(error)) return false;
    return typeof next === "number" ? next : next(data);
  };
}
