import type { FlowEdge, FlowNode } from "../flows/flow-nodes";
import { type Draft, edgeKey } from "./draft";
import type { Kinds } from "./kinds";

/** Why two nodes cannot be connected. */
export type Refusal =
  | { reason: "duplicate" | "noInputs" | "noOutputs"; node: string }
  | { reason: "cycle"; path: string[] };

/** Return why an edge cannot be added; null: it can. */
export function refusal(draft: Draft, kinds: Kinds, edge: FlowEdge): Refusal | null {
  const source = draft.nodes.find((node) => node.id === edge.source);
  const target = draft.nodes.find((node) => node.id === edge.target);
  if (source && kinds.get(source.type)?.ports.outputs.length === 0)
    return { reason: "noOutputs", node: source.id };
  if (target && kinds.get(target.type)?.ports.inputs.length === 0)
    return { reason: "noInputs", node: target.id };
  const way = pathBetween(draft, edge.target, edge.source);
  if (way) return { reason: "cycle", path: [...way, edge.target] };
  const key = edgeKey(edge);
  if (draft.edges.some((each) => edgeKey(each) === key)) return { reason: "duplicate", node: edge.target };
  return null;
}

/** Return the cases of a branch that edges may name; of other nodes none. */
export function casesOf(node: FlowNode): string[] {
  if (node.type !== "branch") return [];
  const { cases, condition, default: otherwise } = node.config ?? {};
  if (condition !== undefined) return ["true", "false"];
  const named = Array.isArray(cases) ? cases.map((each: { name?: unknown } | null) => each?.name) : [];
  return [...new Set([...named, otherwise])].filter(
    (name) => typeof name === "string" && name !== "",
  ) as string[];
}

/** Return the ids of all nodes from which edges lead to a node, however far. */
export function ancestorsOf(draft: Draft, id: string): string[] {
  const found = new Set<string>();
  const waiting = [id];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop())
    for (const { source, target } of draft.edges)
      if (target === next && !found.has(source)) {
        found.add(source);
        waiting.push(source);
      }
  return draft.nodes.map((node) => node.id).filter((each) => found.has(each));
}

/** Return the nodes of a shortest way along the edges, both ends included; null: there is none. */
function pathBetween(draft: Draft, from: string, to: string): string[] | null {
  const before = new Map<string, string | null>([[from, null]]);
  for (const node of before.keys()) {
    if (node === to) return backwards(before, to);
    for (const { source, target } of draft.edges)
      if (source === node && !before.has(target)) before.set(target, node);
  }
  return null;
}

function backwards(before: ReadonlyMap<string, string | null>, end: string): string[] {
  const path: string[] = [];
  for (let node: string | null = end; node !== null; node = before.get(node) ?? null) path.unshift(node);
  return path;
}
