import { useMutation, useQueryClient } from "@tanstack/react-query";

export interface ChangeOptions<Output> {
  /** Starts of the paths whose queries are loaded again. */
  reloads: readonly string[];
  onDone?: (output: Output) => void;
  onError?: (error: Error) => void;
  /** "always": while the gateway is away, it fails at once; otherwise it waits as long as it is shown. */
  networkMode?: "always";
}

/** A request that changes something, after which what is shown of it is loaded again. */
export function useChange<Input, Output>(
  send: (input: Input) => Promise<Output>,
  { reloads, onDone, onError, networkMode }: ChangeOptions<Output>,
) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: send,
    ...(networkMode ? { networkMode } : {}),
    onSuccess: (output) => onDone?.(output),
    onError: (error) => onError?.(error),
    // Also after an error: a part of it may have been done.
    onSettled: () => {
      void queries.invalidateQueries({
        predicate: ({ queryKey }) => reloads.some((path) => String(queryKey[1]).startsWith(path)),
      });
    },
    gcTime: 0, // an answer may hold a secret, which stays in memory no longer than its dialog
  });
}

/** Return the body of an answer that has one. */
export function bodyOf<Body>(answer: { data?: Body | undefined }): Body {
  if (answer.data === undefined) throw new Error("an answer without a body");
  return answer.data;
}
