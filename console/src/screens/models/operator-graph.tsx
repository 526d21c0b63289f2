import { Handle, type Node, type NodeProps, Position } from "@xyflow/react";
import { memo, useMemo } from "react";
import type { components } from "../../api/schema";
import { modelTexts } from "../../strings/models";
import { StillGraph } from "../editor/still-graph";
import { tidied } from "../editor/tidy";
import styles from "./operator-graph.module.css";

type Graph = components["schemas"]["ModelGraphOut"];
type Operator = Node<Graph["nodes"][number] & Record<string, unknown>, "operator">;

const NODE_TYPES = { operator: memo(OperatorCard) };
/** As the style sheet has it, in pixels. */
const SIZE = { width: 176, height: 48 };

/** The operators of a model from its inputs to its outputs, as a picture. */
export function OperatorGraph({ graph }: { graph: Graph }) {
  const { nodes, edges } = useMemo(() => placed(graph), [graph]);
  const label = modelTexts.modelGraph.picture(graph.nodes.length);
  return <StillGraph label={label} nodes={nodes} edges={edges} nodeTypes={NODE_TYPES} />;
}

function placed(graph: Graph) {
  const nodes = graph.nodes.map((node, at) => ({ node, id: String(at) }));
  const edges = graph.edges.map(({ source, target, tensor }, at) => ({
    id: `${at} ${tensor}`,
    source: String(source),
    target: String(target),
  }));
  const places = tidied({ nodes, edges }, () => SIZE);
  return {
    edges,
    nodes: nodes.map(
      ({ node, id }): Operator => ({
        id,
        type: "operator",
        position: places.get(id) ?? { x: 0, y: 0 },
        data: { ...node },
      }),
    ),
  };
}

function OperatorCard({ data: { kind, name, op } }: NodeProps<Operator>) {
  return (
    <div className={styles.card} data-kind={kind}>
      {kind === "input" ? null : <Handle type="target" position={Position.Left} />}
      <strong className={styles.line}>{op || modelTexts.modelGraph.kinds[kind]}</strong>
      <code className={styles.line}>{name}</code>
      {kind === "output" ? null : <Handle type="source" position={Position.Right} />}
    </div>
  );
}
