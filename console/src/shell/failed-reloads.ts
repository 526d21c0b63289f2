import type { QueryClient } from "@tanstack/react-query";
import { isGone, ProblemError } from "../api/problem";

/**
 * Tell of each query that has data and could not be loaded again: they stay, and would look current.
 *
 * Once, until it has been loaded. What a page, the banner or the log-in says itself is left out: that something was
 * deleted, that the gateway is away, and that the session has ended. Returns what ends the watch.
 */
export function watchReloads(queries: QueryClient, tell: (message: string, retry: () => void) => void) {
  const failed = new Set<string>();
  return queries.getQueryCache().subscribe((event) => {
    if (event.type !== "updated") return;
    const { query, action } = event;
    const { queryHash, queryKey, state } = query;
    if (action.type === "success") failed.delete(queryHash);
    if (action.type !== "error" || state.data === undefined || failed.has(queryHash)) return;
    const { error } = action;
    if (!(error instanceof ProblemError) || error.problem.status === 401 || isGone(error)) return;
    failed.add(queryHash);
    tell(error.problem.message, () => void queries.refetchQueries({ queryKey, exact: true }));
  });
}
