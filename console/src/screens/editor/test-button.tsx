import { FlaskConical, Square } from "lucide-react";
import { useEffect, useEffectEvent } from "react";
import { useStore } from "zustand";
import { editorTexts } from "../../strings/editor";
import { GuardedButton } from "../../ui/button";
import { isUnfinished } from "../runs/run-status";
import { useDraft, useEditor } from "./editor-context";
import { inputNode, readInput } from "./flow-tests";

/** Tests the draft as it is in memory, or stops the test. */
export function TestButton() {
  const { session } = useEditor();
  const { tests } = session;
  const { run, text } = useStore(tests.store);
  const hasInput = inputNode(useDraft()) !== undefined;
  const isRunning = run !== null && isUnfinished(run.status);
  const reason = session.isReadOnly ? editorTexts.readOnlyReason : hasInput ? readInput(text).error : null;
  const start = () => {
    if (reason === null && !isRunning) void tests.start();
  };
  const onShortcut = useEffectEvent(start);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || isElsewhere(event.target)) return;
      event.preventDefault();
      event.stopPropagation();
      onShortcut();
    };
    // Before editors of expressions, which would begin a new line.
    document.addEventListener("keydown", onKey, { capture: true });
    return () => document.removeEventListener("keydown", onKey, { capture: true });
  }, []);
  if (isRunning)
    return (
      <GuardedButton reason={null} onClick={() => void tests.stop()}>
        <Square size={14} aria-hidden />
        {editorTexts.test.stop}
      </GuardedButton>
    );
  return (
    <GuardedButton
      reason={reason}
      title={reason ?? editorTexts.test.keys}
      aria-keyshortcuts="Control+Enter Meta+Enter"
      onClick={start}
    >
      <FlaskConical size={16} aria-hidden />
      {editorTexts.test.run}
    </GuardedButton>
  );
}

/** Whether the focus is in what lies over the editor, such as a dialog. */
function isElsewhere(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("[role=dialog], [role=alertdialog]") !== null;
}
