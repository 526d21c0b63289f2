import type { FlowEdge, FlowNode, Position } from "../flows/flow-nodes";
import { casesOf, refusal } from "./connections";
import { type Draft, edgeKey } from "./draft";
import type { Kinds, NodeKind } from "./kinds";
import { placeAfter, positionsOf, STEP } from "./layout";

/** Nodes with the edges between them. */
export type Part = Pick<Draft, "nodes" | "edges">;

/** The ids that nodes of these types get; others are called as their type. */
const IDS: Record<string, string> = { api_input: "input", inference: "model", api_output: "output" };

/** Add a node, with an edge from the node `after` where one is possible. */
export function addNode(
  draft: Draft,
  kinds: Kinds,
  kind: NodeKind,
  { after, position }: { after?: string | undefined; position?: Position | undefined },
): { draft: Draft; id: string } {
  const id = freeId(IDS[kind.type] ?? kind.type, new Set(draft.nodes.map((node) => node.id)));
  const placed = withPositions(draft);
  const node: FlowNode = {
    id,
    type: kind.type,
    config: structuredClone(kind.defaults),
    position: position ?? placeAfter(draft, after),
  };
  const added = { ...placed, nodes: [...placed.nodes, node] };
  const edge = after === undefined ? null : edgeFrom(added, after, id);
  if (!edge || refusal(added, kinds, edge)) return { draft: added, id };
  return { draft: connect(added, edge), id };
}

export function connect(draft: Draft, edge: FlowEdge): Draft {
  return { ...draft, edges: [...draft.edges, edge] };
}

/** Return the edge that leads from one node to another; from a branch by its first case that has none. */
export function edgeFrom(draft: Draft, source: string, target: string): FlowEdge {
  const node = draft.nodes.find((each) => each.id === source);
  const cases = node ? casesOf(node) : [];
  const used = new Set(draft.edges.filter((edge) => edge.source === source).map((edge) => edge.case));
  const chosen = cases.find((each) => !used.has(each)) ?? cases[0];
  return chosen === undefined ? { source, target } : { source, target, case: chosen };
}

/** Remove nodes with their edges, and edges by their keys. */
export function remove(draft: Draft, nodes: ReadonlySet<string>, edges: ReadonlySet<string>): Draft {
  return {
    ...draft,
    nodes: draft.nodes.filter(({ id }) => !nodes.has(id)),
    edges: draft.edges.filter(
      (edge) => !nodes.has(edge.source) && !nodes.has(edge.target) && !edges.has(edgeKey(edge)),
    ),
  };
}

/** Put nodes somewhere else; the others stay where they are shown. */
export function place(draft: Draft, positions: ReadonlyMap<string, Position>): Draft {
  const placed = withPositions(draft);
  return {
    ...placed,
    nodes: placed.nodes.map((node) => {
      const position = positions.get(node.id);
      return position ? { ...node, position: rounded(position) } : node;
    }),
  };
}

export function moveBy(draft: Draft, ids: ReadonlySet<string>, { x, y }: Position): Draft {
  const moved = [...positionsOf(draft)].filter(([id]) => ids.has(id));
  return place(draft, new Map(moved.map(([id, from]) => [id, { x: from.x + x, y: from.y + y }])));
}

/** New values of members of a node; undefined removes one. */
export type Members = { [Member in keyof FlowNode]?: FlowNode[Member] | undefined };

/** Change members of a node. */
export function changeNode(draft: Draft, id: string, members: Members): Draft {
  return {
    ...draft,
    nodes: draft.nodes.map((node) => (node.id === id ? withoutUndefined({ ...node, ...members }) : node)),
  };
}

/** Return some nodes with the edges between them. */
export function partOf(draft: Draft, ids: ReadonlySet<string>): Part {
  return {
    nodes: draft.nodes.filter(({ id }) => ids.has(id)),
    edges: draft.edges.filter(({ source, target }) => ids.has(source) && ids.has(target)),
  };
}

/** Add copies of nodes, with new ids where theirs are taken. */
export function paste(draft: Draft, part: Part): { draft: Draft; ids: Set<string> } {
  const taken = new Set(draft.nodes.map((node) => node.id));
  const ids = new Map<string, string>();
  for (const { id } of part.nodes) {
    const free = freeId(id, taken);
    taken.add(free);
    ids.set(id, free);
  }
  const places = positionsOf({ name: "", ...part });
  const nodes = part.nodes.map((node) => {
    const { x, y } = places.get(node.id) ?? { x: 0, y: 0 };
    return { ...node, id: ids.get(node.id) ?? node.id, position: { x: x + STEP.x / 8, y: y + STEP.y / 2 } };
  });
  const edges = part.edges.map((edge) => ({
    ...edge,
    source: ids.get(edge.source) ?? edge.source,
    target: ids.get(edge.target) ?? edge.target,
  }));
  const placed = withPositions(draft);
  return {
    draft: { ...placed, nodes: [...placed.nodes, ...nodes], edges: [...placed.edges, ...edges] },
    ids: new Set(ids.values()),
  };
}

/** Return the nodes of a text that was copied here, or of the JSON of a flow; null: it is neither. */
export function partOfText(text: string): Part | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const { nodes, edges = [] } = (value ?? {}) as { nodes?: unknown; edges?: unknown };
  if (!Array.isArray(nodes) || !Array.isArray(edges) || nodes.length === 0) return null;
  const ids = new Set(nodes.map((node: FlowNode | null) => node?.id));
  const isNode = (node: FlowNode | null) => typeof node?.id === "string" && typeof node.type === "string";
  const isEdge = (edge: FlowEdge | null) => edge !== null && ids.has(edge?.source) && ids.has(edge?.target);
  if (!nodes.every(isNode) || !edges.every(isEdge)) return null;
  return { nodes, edges };
}

/** Return a draft whose nodes all have positions, so that one that moves leaves the others in place. */
function withPositions(draft: Draft): Draft {
  if (draft.nodes.every((node) => node.position)) return draft;
  const positions = positionsOf(draft);
  const placed = (node: FlowNode) => ({ ...node, position: positions.get(node.id) ?? { x: 0, y: 0 } });
  return { ...draft, nodes: draft.nodes.map((node) => (node.position ? node : placed(node))) };
}

function freeId(wanted: string, taken: ReadonlySet<string>): string {
  const base = wanted.replace(/_\d+$/, "");
  if (!taken.has(wanted)) return wanted;
  let number = 2;
  while (taken.has(`${base}_${number}`)) number += 1;
  return `${base}_${number}`;
}

function rounded({ x, y }: Position): Position {
  return { x: Math.round(x), y: Math.round(y) };
}

function withoutUndefined(node: Members): FlowNode {
  return Object.fromEntries(Object.entries(node).filter(([, value]) => value !== undefined)) as FlowNode;
}
