import { useCanGoBack, useRouter } from "@tanstack/react-router";

/** Close what has an address of its own: back to where it was opened, or from outside of the console to `elsewhere`. */
export function useBack(elsewhere: () => void): () => void {
  const router = useRouter();
  const canGoBack = useCanGoBack();
  return canGoBack ? () => router.history.back() : elsewhere;
}
