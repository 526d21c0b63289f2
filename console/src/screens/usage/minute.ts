import { useEffect, useState } from "react";
import { useLive } from "../../api/live/state";

const MINUTE_MILLISECONDS = 60_000;

/** The present time, renewed each minute; it stands still while live updates are paused. */
export function useMinute(): Date {
  const isPaused = useLive((live) => live.isPaused);
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    if (isPaused) return;
    const timer = setInterval(() => setNow(new Date()), MINUTE_MILLISECONDS);
    return () => clearInterval(timer);
  }, [isPaused]);
  return now;
}
