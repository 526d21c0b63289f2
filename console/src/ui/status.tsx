import type { ReactNode } from "react";
import styles from "./status.module.css";

/** Shapes that tell states apart without colour. */
const SHAPES = {
  draft: "◇",
  live: "●",
  booting: "◔",
  ready: "✓",
  failed: "✕",
  asleep: "☾",
  paused: "‖",
  stopped: "□",
  pending: "○",
  running: "◐",
  completed: "✓",
  cancelled: "⊘",
  cancelling: "⊘",
  rotating: "↻",
  expired: "⌛",
  draining: "◑",
  added: "+",
  removed: "−",
  changed: "≠",
} as const;

const TONES: Record<State, string> = {
  draft: "draft",
  live: "good",
  booting: "accent",
  ready: "good",
  failed: "bad",
  asleep: "rest",
  paused: "rest",
  stopped: "muted",
  pending: "muted",
  running: "accent",
  completed: "good",
  cancelled: "muted",
  cancelling: "accent",
  rotating: "warn",
  expired: "muted",
  draining: "rest",
  added: "good",
  removed: "bad",
  changed: "warn",
};

const TURNING: ReadonlySet<string> = new Set(["running", "cancelling"]);

export type State = keyof typeof SHAPES;

/** A state by shape and word; the colour only repeats it. */
export function Status({ state, children }: { state: State; children: ReactNode }) {
  return (
    <span className={styles.status} data-tone={TONES[state]}>
      <span aria-hidden className={styles.shape} data-turning={TURNING.has(state) || undefined}>
        {SHAPES[state]}
      </span>
      {children}
    </span>
  );
}
