import { useState } from "react";
import { useStore } from "zustand";
import { editorTexts } from "../../strings/editor";
import { Button } from "../../ui/button";
import { Choice } from "../../ui/choice";
import { CodeBlock } from "../../ui/copy";
import { Dialog } from "../../ui/dialog";
import { type FlowNode, nameOf } from "../flows/flow-nodes";
import styles from "./conflict-dialog.module.css";
import { useEditor } from "./editor-context";
import type { Conflict, Side } from "./merge";

/** Asks of each node that two editors have changed whose it shall be. */
export function ConflictDialog() {
  const { saver } = useEditor().session;
  const conflicts = useStore(saver.store, (state) => state.conflicts);
  return conflicts.length ? <Conflicts conflicts={conflicts} /> : null;
}

function Conflicts({ conflicts }: { conflicts: readonly Conflict[] }) {
  const { saver } = useEditor().session;
  const [choices, setChoices] = useState<ReadonlyMap<string, Side>>(new Map());
  return (
    <Dialog
      title={editorTexts.conflict.title}
      footer={
        <Button
          look="primary"
          disabled={choices.size < conflicts.length}
          onClick={() => saver.resolve(choices)}
        >
          {editorTexts.conflict.submit}
        </Button>
      }
    >
      <p>{editorTexts.conflict.text}</p>
      {conflicts.map(({ id, mine, theirs }) => (
        <section key={id} className={styles.conflict} aria-label={id}>
          <h3>{nameOf(mine ?? theirs ?? { id, type: "" })}</h3>
          <div className={styles.sides}>
            <CodeBlock label={editorTexts.conflict.yours} code={shown(mine)} />
            <CodeBlock label={editorTexts.conflict.other} code={shown(theirs)} />
          </div>
          <Choice
            label={id}
            columns
            value={choices.get(id) ?? null}
            onChange={(side) => setChoices(new Map([...choices, [id, side]]))}
            options={[
              { value: "mine", label: editorTexts.conflict.mine },
              { value: "theirs", label: editorTexts.conflict.theirs },
            ]}
          />
        </section>
      ))}
    </Dialog>
  );
}

function shown(node: FlowNode | undefined): string {
  if (!node) return editorTexts.conflict.deleted;
  const { position: _, ...content } = node;
  return JSON.stringify(content, null, 2);
}
