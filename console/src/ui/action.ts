import { type ChangeOptions, useChange } from "../api/change";
import { errorMessage } from "./notice";
import { toast } from "./toast";

/** A change that has no form, so that a toast says why it was refused. While it goes on, it is not made again. */
export function useAction<Output>(
  send: () => Promise<Output>,
  options: Pick<ChangeOptions<Output>, "reloads" | "onDone">,
): () => void {
  const change = useChange(send, {
    ...options,
    onError: (error) => toast(errorMessage(error)),
    networkMode: "always",
  });
  return () => {
    if (!change.isPending) change.mutate(undefined);
  };
}
