import { useEffect } from "react";
import { create } from "zustand";
import { moment, timeLeft } from "./formats";

const TICK_MILLISECONDS = 1000;

/** One ticker for all times that are shown. */
const useNow = create<{ now: Date }>(() => ({ now: new Date() }));
let shown = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** A time as text that stays true: `12 sec. ago`. */
export function Time({ iso }: { iso: string }) {
  const time = new Date(iso);
  const text = useNow(({ now }) => moment(time, now));
  useTicker();
  return (
    <time dateTime={iso} title={iso}>
      {text}
    </time>
  );
}

/** How long it is until a time: `21 h`. */
export function TimeLeft({ iso }: { iso: string }) {
  const end = new Date(iso).getTime();
  const text = useNow(({ now }) => timeLeft((end - now.getTime()) / 1000));
  useTicker();
  return (
    <time dateTime={iso} title={iso}>
      {text}
    </time>
  );
}

function useTicker() {
  useEffect(() => {
    shown += 1;
    timer ??= setInterval(() => useNow.setState({ now: new Date() }), TICK_MILLISECONDS);
    return () => {
      shown -= 1;
      if (shown > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }, []);
}
