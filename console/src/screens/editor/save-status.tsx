import { useStore } from "zustand";
import { Time } from "../../formats/time";
import { editorTexts } from "../../strings/editor";
import { type State, Status } from "../../ui/status";
import styles from "./editor.module.css";
import { useEditor } from "./editor-context";
import type { SaveState } from "./saver";

const STATES: Record<SaveState["kind"], State> = {
  saved: "completed",
  unsaved: "draft",
  saving: "running",
  away: "failed",
  conflict: "failed",
  refused: "failed",
  rounds: "failed",
};

/** Only these are announced: the others come and go with each change. */
const FAILURES: ReadonlySet<SaveState["kind"]> = new Set(["away", "conflict", "refused", "rounds"]);

/** Whether the gateway has the draft, and since when, or why not. */
export function SaveStatus() {
  const { saver } = useEditor().session;
  const state = useStore(saver.store, (all) => all.state);
  return (
    <Status state={STATES[state.kind]}>
      <span>{textOf(state)}</span>
      <span role="status" className={styles.said}>
        {FAILURES.has(state.kind) ? textOf(state) : ""}
      </span>
      {state.kind === "saved" && state.at ? <Time iso={state.at.toISOString()} /> : null}
    </Status>
  );
}

function textOf(state: SaveState): string {
  if (state.kind === "refused") return editorTexts.save.refused(state.error.problem.message);
  if (state.kind === "rounds") return editorTexts.save.rounds(state.number);
  return editorTexts.save[state.kind];
}
