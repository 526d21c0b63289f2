import { Handle, type Node, type NodeProps, Position, useUpdateNodeInternals } from "@xyflow/react";
import { memo, useEffect, useRef } from "react";
import { Status } from "../../ui/status";
import { type FlowNode, nameOf } from "../flows/flow-nodes";
import { casesOf } from "./connections";
import { KindIcon } from "./kind-icon";
import type { NodeKind } from "./kinds";
import type { Mark } from "./marks";
import styles from "./node-card.module.css";

interface CardData extends Record<string, unknown> {
  node: FlowNode;
  kind: NodeKind | undefined;
  mark: Mark | undefined;
}

export type CardNode = Node<CardData, "card">;

/** A node on the canvas: kind, name, what it uses, its state, and where edges begin and end. */
export const NodeCard = memo(function NodeCard({ data, id }: NodeProps<CardNode>) {
  const { node, kind, mark } = data;
  const cases = casesOf(node);
  const handles = cases.join("\n");
  const update = useUpdateNodeInternals();
  const measured = useRef(handles);
  useEffect(() => {
    // The canvas measures a new node by itself, but not other handles of one that it has.
    if (measured.current === handles) return;
    measured.current = handles;
    update(id);
  }, [update, id, handles]);
  return (
    <div className={styles.card} data-type={node.type} data-tone={mark?.tone}>
      {kind?.ports.inputs.length === 0 ? null : <Handle type="target" position={Position.Left} />}
      <div className={styles.kind}>
        <KindIcon kind={kind} />
        {kind?.title ?? node.type}
      </div>
      <strong className={styles.name}>{nameOf(node)}</strong>
      {usedBy(node) ? <code className={styles.used}>{usedBy(node)}</code> : null}
      {mark ? (
        <div className={styles.state}>
          {mark.lines.map(({ state, text }) => (
            <Status key={text} state={state}>
              <span className={styles.text}>{text}</span>
            </Status>
          ))}
        </div>
      ) : null}
      {kind?.ports.outputs.length === 0 ? null : (
        <Handle
          type="source"
          position={Position.Right}
          className={cases.length ? styles.always : undefined}
        />
      )}
      {cases.length ? (
        <ul className={styles.cases}>
          {cases.map((name) => (
            <li key={name}>
              {name}
              <Handle type="source" id={name} position={Position.Right} />
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
});

/** What a node calls: its model with the version, its function, or its URL. */
function usedBy({ type, config = {} }: FlowNode): string | null {
  if (type === "inference" && config["model"]) return `${config["model"]} · ${config["version"] ?? "latest"}`;
  const used = config["function"] ?? config["url"];
  return typeof used === "string" && used ? used : null;
}
