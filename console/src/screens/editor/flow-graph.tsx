import type { Edge } from "@xyflow/react";
import { useMemo } from "react";
import { hooks } from "../../api/client";
import { editorTexts } from "../../strings/editor";
import { nameOf } from "../flows/flow-nodes";
import styles from "./canvas.module.css";
import { casesOf } from "./connections";
import { type Draft, edgeKey } from "./draft";
import { kindsOf } from "./kinds";
import type { Mark } from "./marks";
import { type CardNode, NodeCard } from "./node-card";
import { placesOf } from "./places";
import { StillGraph } from "./still-graph";

const NODE_TYPES = { card: NodeCard };

interface FlowGraphProps {
  /** What it shows, for those who do not see it. */
  label: string;
  graph: Draft;
  /** By the id of a node. */
  marks?: ReadonlyMap<string, Mark>;
  /** By `edgeKey`. */
  edgeMarks?: ReadonlyMap<string, EdgeMark>;
}

export interface EdgeMark {
  text: string;
  isDashed: boolean;
}

/** The graph of a flow, to look at. */
export function FlowGraph({ label, graph, marks, edgeMarks }: FlowGraphProps) {
  const kinds = hooks.useQuery("get", "/node/node-kinds/", undefined, {
    staleTime: Number.POSITIVE_INFINITY,
  });
  const known = useMemo(() => (kinds.data ? kindsOf(kinds.data) : undefined), [kinds.data]);
  const nodes = useMemo(() => {
    if (!known) return undefined;
    const places = placesOf(graph);
    return graph.nodes.map(
      (node): CardNode => ({
        id: node.id,
        type: "card",
        position: places.get(node.id) ?? { x: 0, y: 0 },
        data: { node, kind: known.get(node.type), mark: marks?.get(node.id) },
      }),
    );
  }, [graph, known, marks]);
  const edges = useMemo(() => edgesIn(graph, edgeMarks), [graph, edgeMarks]);
  return <StillGraph label={label} nodes={nodes} edges={edges} nodeTypes={NODE_TYPES} />;
}

function edgesIn(graph: Draft, edgeMarks: FlowGraphProps["edgeMarks"]): Edge[] {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  return graph.edges.map((edge) => {
    const [source, target] = [nodes.get(edge.source), nodes.get(edge.target)];
    const mark = edgeMarks?.get(edgeKey(edge));
    const hasHandle = source && edge.case !== undefined && casesOf(source).includes(edge.case);
    const condition = edge.case !== undefined && !hasHandle ? editorTexts.onlyIf(edge.case) : undefined;
    const label = [condition, mark?.text].filter(Boolean).join(" · ");
    return {
      id: edgeKey(edge),
      source: edge.source,
      target: edge.target,
      sourceHandle: hasHandle ? (edge.case ?? null) : null,
      ariaLabel: editorTexts.edgeLabel(
        source ? nameOf(source) : edge.source,
        target ? nameOf(target) : edge.target,
      ),
      ...(label ? { label } : {}),
      ...(mark?.isDashed ? { className: styles.dashed ?? "" } : {}),
    };
  });
}
