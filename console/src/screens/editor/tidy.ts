import { Graph, layout } from "@dagrejs/dagre";
import type { Position } from "../flows/flow-nodes";

const GAPS = { rankdir: "LR", nodesep: 40, ranksep: 80 };

interface AnyGraph {
  nodes: readonly { id: string }[];
  edges: readonly { source: string; target: string }[];
}

/** Return positions in which edges cross rarely, by the sizes that the nodes have on the canvas. */
export function tidied(
  whole: AnyGraph,
  sizeOf: (id: string) => { width: number; height: number },
): Map<string, Position> {
  const graph = new Graph({ multigraph: false });
  graph.setGraph(GAPS);
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id } of whole.nodes) graph.setNode(id, { ...sizeOf(id) }); // it writes the place into it
  for (const { source, target } of whole.edges) graph.setEdge(source, target);
  layout(graph);
  return new Map(
    whole.nodes.map(({ id }) => {
      const { x, y, width, height } = graph.node(id);
      return [id, { x: x - width / 2, y: y - height / 2 }];
    }),
  );
}
