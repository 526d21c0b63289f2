import { Pause, Play } from "lucide-react";
import { useEffect, useState } from "react";
import { setPaused } from "../api/live/apply";
import { type Connection, useLive } from "../api/live/state";
import { followChanges } from "../api/live/tabs";
import { liveTexts } from "../strings/live";
import { IconButton } from "../ui/button";
import { type State, Status } from "../ui/status";
import styles from "./live-indicator.module.css";

const TICK_MILLISECONDS = 500;

/** Says whether what is shown follows its changes, and stops that: lists then keep still. */
export function LiveIndicator() {
  const { connection, isPaused } = useLive();
  useEffect(followChanges, []);
  const seconds = useSecondsUntil(connection.state === "reconnecting" ? connection.nextTry : null);
  const [state, text] = shown(connection, isPaused, seconds);
  return (
    <div className={styles.live}>
      <span className={styles.state} title={text}>
        <Status state={state}>
          <span className={styles.text}>{text}</span>
        </Status>
      </span>
      <IconButton label={isPaused ? liveTexts.resume : liveTexts.pause} onClick={() => setPaused(!isPaused)}>
        {isPaused ? <Play size={14} aria-hidden /> : <Pause size={14} aria-hidden />}
      </IconButton>
    </div>
  );
}

function shown({ state }: Connection, isPaused: boolean, seconds: number): [State, string] {
  if (isPaused) return ["paused", liveTexts.paused];
  if (state === "live") return ["live", liveTexts.on];
  if (state === "reconnecting") return ["booting", liveTexts.reconnecting(seconds)];
  return ["booting", liveTexts.connecting];
}

function useSecondsUntil(time: number | null): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (time === null) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), TICK_MILLISECONDS);
    return () => clearInterval(timer);
  }, [time]);
  return time === null ? 0 : Math.max(0, Math.ceil((time - now) / 1000));
}
