import { editorTexts } from "../../strings/editor";
import { useEditor } from "./editor-context";
import { groupedBy } from "./grouped";
import { KindIcon } from "./kind-icon";
import type { NodeKind } from "./kinds";
import styles from "./palette.module.css";

/** The type of the data that a kind is dragged as. */
export const DRAGGED_KIND = "application/x-slipstream-node-kind";

interface PaletteProps {
  onAdded: (id: string) => void;
}

/** The kinds of nodes: a press adds one after the selection, and each can be dragged onto the canvas. */
export function Palette({ onAdded }: PaletteProps) {
  const { kinds, commands, session } = useEditor();
  const groups = groupedBy(kinds.values(), (kind) => kind.group);
  return (
    <section className={styles.palette} aria-label={editorTexts.palette}>
      {[...groups].map(([group, members]) => (
        <div key={group} className={styles.group}>
          <span className={styles.title}>{editorTexts.groups[group] ?? group}</span>
          <ul>
            {members.map((kind) => (
              <li key={kind.type}>
                <KindButton
                  kind={kind}
                  isReadOnly={session.isReadOnly}
                  onPress={() => onAdded(commands.add(kind))}
                />
              </li>
            ))}
          </ul>
        </div>
      ))}
      <p className={styles.hint}>{editorTexts.paletteHint}</p>
    </section>
  );
}

interface KindButtonProps {
  kind: NodeKind;
  isReadOnly: boolean;
  onPress: () => void;
}

function KindButton({ kind, isReadOnly, onPress }: KindButtonProps) {
  return (
    <button
      type="button"
      className={styles.kind}
      title={isReadOnly ? editorTexts.readOnlyReason : kind.description}
      aria-disabled={isReadOnly}
      draggable={!isReadOnly}
      onDragStart={(event) => event.dataTransfer.setData(DRAGGED_KIND, kind.type)}
      onClick={isReadOnly ? undefined : onPress}
    >
      <KindIcon kind={kind} />
      {kind.title}
    </button>
  );
}
