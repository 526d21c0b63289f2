import { type KeyboardEvent, useRef } from "react";
import { editorTexts } from "../../strings/editor";
import { Status } from "../../ui/status";
import { nameOf } from "../flows/flow-nodes";
import { useDraft, useEditor, useSelectedNodes } from "./editor-context";
import { KindIcon } from "./kind-icon";
import styles from "./list-view.module.css";
import { type Mark, useMarks } from "./marks";
import { type Row, rowsOf } from "./tree";

interface ListViewProps {
  onOpen: (id: string) => void;
}

/** The graph as a tree: each node below the first one that an edge leads from. */
export function ListView({ onOpen }: ListViewProps) {
  const { session } = useEditor();
  const draft = useDraft();
  const selected = useSelectedNodes();
  const tree = useRef<HTMLDivElement>(null);
  const marks = useMarks();
  const rows = rowsOf(draft);
  const [first] = rows;
  const reachable = rows.find(({ node }) => selected.has(node.id)) ?? first;

  const go = (event: KeyboardEvent, at: number) => {
    const target = rowAfterKey(rows, at, event.key);
    if (!target) return;
    event.preventDefault();
    event.stopPropagation();
    session.drafts.select(new Set([target.node.id]));
    tree.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(target.node.id)}"]`)?.focus();
  };
  if (rows.length === 0) return <p className={styles.empty}>{editorTexts.empty}</p>;
  return (
    <div ref={tree} role="tree" aria-label={editorTexts.list} className={styles.tree}>
      {rows.map((row, at) => (
        <TreeRow
          key={row.node.id}
          row={row}
          mark={marks.get(row.node.id)}
          isSelected={selected.has(row.node.id)}
          isReachable={row === reachable}
          onKeyDown={(event) => go(event, at)}
          onOpen={() => onOpen(row.node.id)}
        />
      ))}
    </div>
  );
}

interface TreeRowProps {
  row: Row;
  mark: Mark | undefined;
  isSelected: boolean;
  isReachable: boolean;
  onKeyDown: (event: KeyboardEvent) => void;
  onOpen: () => void;
}

function TreeRow({ row: { node, level, before, position, size }, mark, ...props }: TreeRowProps) {
  const kind = useEditor().kinds.get(node.type);
  return (
    <div
      role="treeitem"
      aria-level={level}
      aria-posinset={position}
      aria-setsize={size}
      aria-selected={props.isSelected}
      tabIndex={props.isReachable ? 0 : -1}
      data-id={node.id}
      data-level={Math.min(level, 6)}
      className={styles.row}
      onKeyDown={props.onKeyDown}
      onClick={props.onOpen}
    >
      <KindIcon kind={kind} />
      <strong>{nameOf(node)}</strong>
      <span className={styles.kind}>{kind?.title ?? node.type}</span>
      {before.length ? <span className={styles.kind}>{editorTexts.after(before.join(", "))}</span> : null}
      {mark?.lines.map(({ state, text }) => (
        <Status key={text} state={state}>
          <span className={styles.state}>{text}</span>
        </Status>
      ))}
    </div>
  );
}

/** Return the row that a key of a tree leads to. */
function rowAfterKey(rows: readonly Row[], at: number, key: string): Row | undefined {
  const level = rows[at]?.level ?? 1;
  switch (key) {
    case "ArrowDown":
      return rows[at + 1];
    case "ArrowUp":
      return rows[at - 1];
    case "ArrowRight":
      return rows[at + 1]?.level === level + 1 ? rows[at + 1] : undefined;
    case "ArrowLeft":
      return rows.slice(0, at).findLast((row) => row.level < level);
    case "Home":
      return rows[0];
    case "End":
      return rows.at(-1);
    default:
      return undefined;
  }
}
