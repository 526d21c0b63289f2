import { type Edge, type Node, type NodeTypes, ReactFlow } from "@xyflow/react";
import "./canvas.css";
import styles from "./canvas.module.css";

const FIT = { padding: 0.1, maxZoom: 1 };
const HIDE = { hideAttribution: true };

interface StillGraphProps {
  /** What it shows, for those who do not see it. */
  label: string;
  /** undefined: they are on their way. */
  nodes: Node[] | undefined;
  edges: Edge[];
  nodeTypes: NodeTypes;
}

/** A graph to look at: it is moved and magnified by pointer, and nothing in it takes the focus. */
export function StillGraph({ label, nodes, edges, nodeTypes }: StillGraphProps) {
  return (
    <div className={styles.frame} role="img" aria-label={label}>
      {nodes ? (
        <ReactFlow
          className={styles.canvas ?? ""}
          nodes={nodes}
          edges={edges}
          nodeTypes={nodeTypes}
          nodesDraggable={false}
          nodesConnectable={false}
          nodesFocusable={false}
          edgesFocusable={false}
          elementsSelectable={false}
          disableKeyboardA11y
          deleteKeyCode={null}
          zoomOnScroll={false}
          preventScrolling={false}
          minZoom={0.1}
          fitView
          fitViewOptions={FIT}
          proOptions={HIDE}
        />
      ) : null}
    </div>
  );
}
