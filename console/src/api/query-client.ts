import { QueryClient } from "@tanstack/react-query";
import { GatewayAway } from "./connection";
import { ProblemError } from "./problem";

const MAX_RETRIES = 3;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // A query that got no answer goes on when the gateway is back; the client pauses it until then.
      retry: (failures, error: unknown) =>
        error instanceof GatewayAway ||
        (error instanceof ProblemError && error.problem.retryable && failures < MAX_RETRIES),
      retryDelay: (failures, error: unknown) =>
        1000 * ((error instanceof ProblemError && error.retryAfter) || 2 ** failures),
    },
  },
});

// A change that waits for the gateway is withdrawn with the dialog or page that asked for it: it would be made when
// it is expected no longer.
const changes = queryClient.getMutationCache();
changes.subscribe(({ type, mutation }) => {
  if (type !== "observerRemoved" || !mutation.state.isPaused) return;
  changes.remove(mutation);
  mutation.destroy(); // else it would try to be collected again and again
});
