import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useLive } from "../../api/live/state";
import { runKeys } from "./run-queries";

const AT_MOST_EVERY_MILLISECONDS = 500;
const EVENTS = ["status", "node", "completed", "failed", "cancelled"] as const;

/** Load a run and its timeline again when something happens to it, until it has ended or live updates are paused. */
export function useRunEvents(id: string, isUnfinished: boolean) {
  const queries = useQueryClient();
  const isPaused = useLive((live) => live.isPaused);
  useEffect(() => {
    if (!isUnfinished || isPaused) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const reload = () => {
      timer = undefined;
      for (const queryKey of [runKeys.run(id), runKeys.timeline(id)])
        void queries.invalidateQueries({ queryKey });
    };
    const later = () => {
      timer ??= setTimeout(reload, AT_MOST_EVERY_MILLISECONDS);
    };
    const events = new EventSource(`/node/flow-runs/${id}/events/`);
    for (const name of EVENTS) events.addEventListener(name, later);
    return () => {
      clearTimeout(timer);
      events.close();
    };
  }, [id, isUnfinished, isPaused, queries]);
}
