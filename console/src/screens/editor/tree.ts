import { editorTexts } from "../../strings/editor";
import { type FlowNode, nameOf } from "../flows/flow-nodes";
import type { Draft } from "./draft";
import { groupedBy } from "./grouped";

/** A node in the tree of a graph. */
export interface Row {
  node: FlowNode;
  /** From 1. */
  level: number;
  /** The names of all nodes that edges lead from, with their cases. */
  before: string[];
  /** Among those of the same parent, from 1. */
  position: number;
  size: number;
}

/** Return the nodes as a tree, in the order in which it is read: each one once, below its first predecessor. */
export function rowsOf(draft: Draft): Row[] {
  const nodes = new Map(draft.nodes.map((node) => [node.id, node]));
  const edges = draft.edges.filter(({ source, target }) => nodes.has(source) && nodes.has(target));
  const parents = new Map<string, string>();
  for (const { source, target } of edges) if (!parents.has(target)) parents.set(target, source);
  const children = groupedBy(draft.nodes, ({ id }) => parents.get(id));
  const rows: Row[] = [];
  const seen = new Set<string>();
  const add = (siblings: readonly FlowNode[], level: number) => {
    for (const [at, node] of siblings.entries()) {
      if (seen.has(node.id)) continue;
      seen.add(node.id);
      const before = edges
        .filter((edge) => edge.target === node.id)
        .map((edge) => {
          const name = nameOf(nodes.get(edge.source) ?? node);
          return edge.case === undefined ? name : `${name} (${editorTexts.onlyIf(edge.case)})`;
        });
      rows.push({ node, level, before, position: at + 1, size: siblings.length });
      add(children.get(node.id) ?? [], level + 1);
    }
  };
  add(children.get(undefined) ?? [], 1);
  // Of a cycle, which can come from a merge, no node is without a predecessor.
  add(
    draft.nodes.filter(({ id }) => !seen.has(id)),
    1,
  );
  return rows;
}
