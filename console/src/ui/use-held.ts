import { useBlocker } from "@tanstack/react-router";

/**
 * Keep the user on the page while an answer with a secret is on its way: it would be lost.
 *
 * Returns whether it is. A request that waits for the gateway holds nothing: it is withdrawn.
 */
export function useHeld({ isPending, isPaused }: { isPending: boolean; isPaused: boolean }): boolean {
  const isHeld = isPending && !isPaused;
  useBlocker({ shouldBlockFn: () => isHeld, enableBeforeUnload: () => isHeld });
  return isHeld;
}
