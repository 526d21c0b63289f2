import { useCallback, useRef, useState } from "react";
import { api } from "../../api/client";

const AT_A_TIME = 4;

/** Cancel a run that has not ended. */
export async function cancelRun(id: string): Promise<void> {
  await api.POST("/node/flow-runs/{run_id}/cancel/", { params: { path: { run_id: id } } });
}

export type RetriedVersion = "same" | "latest";

/** Run the input of a failed run again; return the id of the new run. */
export async function retryRun(id: string, version: RetriedVersion): Promise<string> {
  const params = { path: { run_id: id }, query: { version } };
  const { data } = await api.POST("/node/flow-runs/{run_id}/retry/", { params });
  const body = data as { flow_run_id?: string; data?: { flow_run_id?: string } } | undefined;
  const made = body?.flow_run_id ?? body?.data?.flow_run_id;
  if (made === undefined) throw new Error("an answer without a run");
  return made;
}

export interface BulkProgress {
  all: number;
  done: number;
  refused: number;
  isRunning: boolean;
}

/** Make the same change to many runs, four at a time, until all are done or it is stopped. */
export function useBulkChange(onEnd: () => void) {
  const [progress, setProgress] = useState<BulkProgress | null>(null);
  const stopped = useRef(false);
  const start = useCallback(
    async (ids: readonly string[], change: (id: string) => Promise<unknown>) => {
      stopped.current = false;
      const waiting = [...ids];
      const state = { all: ids.length, done: 0, refused: 0 };
      setProgress({ ...state, isRunning: true });
      const work = async () => {
        for (let id = waiting.shift(); id !== undefined && !stopped.current; id = waiting.shift()) {
          await change(id).then(
            () => (state.done += 1),
            () => (state.refused += 1),
          );
          setProgress({ ...state, isRunning: true });
        }
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, work));
      setProgress({ ...state, isRunning: false });
      onEnd();
    },
    [onEnd],
  );
  const stop = useCallback(() => {
    stopped.current = true;
  }, []);
  return { progress, start, stop, clear: () => setProgress(null) };
}
