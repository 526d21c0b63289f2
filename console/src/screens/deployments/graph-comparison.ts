import type { components } from "../../api/schema";
import { deploymentTexts } from "../../strings/deployments";
import type { State } from "../../ui/status";
import { type Draft, edgeKey } from "../editor/draft";
import type { EdgeMark } from "../editor/flow-graph";
import type { Mark } from "../editor/marks";
import { edgesOf, type FlowEdge, type FlowNode, nodesOf } from "../flows/flow-nodes";

type Difference = components["schemas"]["DifferenceOut"];
type Graph = Parameters<typeof nodesOf>[0];

/** The later graph with what was removed of the earlier one, and marks of what differs. */
export interface GraphComparison {
  graph: Draft;
  marks: ReadonlyMap<string, Mark>;
  edgeMarks: ReadonlyMap<string, EdgeMark>;
  label: string;
}

export function comparisonOf(difference: Difference, after: Graph): GraphComparison {
  const removed = difference.nodes.removed as FlowNode[];
  const removedEdges = difference.edges.removed as FlowEdge[];
  const changed = new Set([
    ...difference.nodes.changed.map(({ id }) => id),
    ...difference.models.map(({ node }) => node),
  ]);
  const added = new Set((difference.nodes.added as FlowNode[]).map(({ id }) => id));
  const marks = new Map<string, Mark>();
  for (const { id } of nodesOf(after)) {
    if (added.has(id)) marks.set(id, markOf("added"));
    else if (changed.has(id)) marks.set(id, markOf("changed"));
  }
  for (const { id } of removed) marks.set(id, markOf("removed"));
  const edgeMarks = new Map<string, EdgeMark>();
  for (const edge of difference.edges.added as FlowEdge[])
    edgeMarks.set(edgeKey(edge), { text: deploymentTexts.difference.edgeMarks.added, isDashed: false });
  // An edge whose other members differ is both removed and added: it is there.
  const gone = removedEdges.filter((edge) => !edgeMarks.has(edgeKey(edge)));
  for (const edge of gone)
    edgeMarks.set(edgeKey(edge), { text: deploymentTexts.difference.edgeMarks.removed, isDashed: true });
  const isChanged = ({ lines }: Mark) => lines[0]?.state === "changed";
  const changes = [...marks.values()].filter(isChanged).length;
  return {
    graph: {
      name: "",
      nodes: [...nodesOf(after), ...removed],
      edges: [...edgesOf(after), ...gone],
    },
    marks,
    edgeMarks,
    label: deploymentTexts.difference.graphOf(added.size, removed.length, changes),
  };
}

function markOf(state: State & keyof typeof deploymentTexts.difference.marks): Mark {
  const text = deploymentTexts.difference.marks[state];
  return { lines: [{ state, text, spoken: text }], tone: MARK_TONES[state], text };
}

const MARK_TONES = { added: undefined, removed: "bad", changed: "warn" } as const;
