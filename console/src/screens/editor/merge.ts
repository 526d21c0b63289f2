import { isSame } from "../../formats/same";
import type { FlowEdge, FlowNode, Position } from "../flows/flow-nodes";
import { type Draft, edgeKey } from "./draft";

/** A node that both have changed, each in another way; undefined: deleted. */
export interface Conflict {
  id: string;
  mine: FlowNode | undefined;
  theirs: FlowNode | undefined;
}

export type Side = "mine" | "theirs";

export interface Merge {
  /** The merged draft; where there are conflicts it has my side of them. */
  draft: Draft;
  conflicts: Conflict[];
  /** The ids of nodes that only they have changed, or connected in another way. */
  changedByThem: string[];
}

interface Three<Value> {
  base: Value | undefined;
  mine: Value | undefined;
  theirs: Value | undefined;
}

/**
 * Merge two drafts that were made of one, by node and edge.
 *
 * What only one side has changed is taken from it. A node is in conflict if both have changed it, or if one has
 * deleted it and the other has connected it. Positions, names and members of edges are never: mine are taken.
 */
export function merge(
  base: Draft,
  mine: Draft,
  theirs: Draft,
  choices: ReadonlyMap<string, Side> = new Map(),
): Merge {
  const nodes = byId(base.nodes, mine.nodes, theirs.nodes);
  const edges = byKey(base.edges, mine.edges, theirs.edges);
  const conflicts: Conflict[] = [];
  const changedByThem = new Set<string>();
  const merged: FlowNode[] = [];
  for (const [id, three] of nodes) {
    const side = choices.get(id);
    const isTouching = isInConflict(three) || isConnectedAndDeleted(id, three, edges);
    if (isTouching && side === undefined) conflicts.push({ id, mine: three.mine, theirs: three.theirs });
    if (!isTouching && !isSame(three.base, three.theirs) && !isSame(three.mine, three.theirs))
      changedByThem.add(id);
    const node = isTouching ? three[side ?? "mine"] : mergedNode(three);
    if (node) merged.push(node);
  }
  const kept = new Set(merged.map(({ id }) => id));
  const mergedEdges: FlowEdge[] = [];
  for (const three of edges.values()) {
    const edge = mergedEdge(three, choices);
    if (!isSame(three.base, three.theirs) && !isSame(three.mine, three.theirs)) {
      const changed = three.theirs ?? three.base;
      if (changed) changedByThem.add(changed.target);
    }
    if (edge && kept.has(edge.source) && kept.has(edge.target)) mergedEdges.push(edge);
  }
  const name = pick({ base: base.name, mine: mine.name, theirs: theirs.name }) ?? mine.name;
  return {
    draft: { name, nodes: merged, edges: mergedEdges },
    conflicts,
    changedByThem: [...changedByThem],
  };
}

/** Return the value of the side that has changed it, mine if both have; undefined: it is deleted. */
function pick<Value>({ base, mine, theirs }: Three<Value>): Value | undefined {
  return isSame(base, mine) ? theirs : mine;
}

function mergedNode({ base, mine, theirs }: Three<FlowNode>): FlowNode | undefined {
  const content = pick({ base: contentOf(base), mine: contentOf(mine), theirs: contentOf(theirs) });
  if (!content) return undefined;
  const position = pick<Position>({
    base: base?.position,
    mine: mine?.position,
    theirs: theirs?.position,
  });
  return position ? { ...content, position } : content;
}

/** An edge that was there before goes with the side that was chosen for one of its ends. */
function mergedEdge(three: Three<FlowEdge>, choices: ReadonlyMap<string, Side>): FlowEdge | undefined {
  const { base } = three;
  const side = base && (choices.get(base.source) ?? choices.get(base.target));
  return side ? three[side] : pick(three);
}

function isInConflict({ base, mine, theirs }: Three<FlowNode>): boolean {
  const [from, here, there] = [contentOf(base), contentOf(mine), contentOf(theirs)];
  return !isSame(here, there) && !isSame(from, here) && !isSame(from, there);
}

/** Whether one side has deleted a node that the other has newly connected. */
function isConnectedAndDeleted(
  id: string,
  { base, mine, theirs }: Three<FlowNode>,
  edges: ReadonlyMap<string, Three<FlowEdge>>,
): boolean {
  if (!base || (mine && theirs) || (!mine && !theirs)) return false;
  const keeper = mine ? "mine" : "theirs";
  return [...edges.values()].some(
    (three) => !three.base && [three[keeper]?.source, three[keeper]?.target].includes(id),
  );
}

/** A node without its position, which is merged for itself. */
function contentOf(node: FlowNode | undefined): FlowNode | undefined {
  if (!node) return undefined;
  const { position: _, ...content } = node;
  return content as FlowNode;
}

function byId(base: readonly FlowNode[], mine: readonly FlowNode[], theirs: readonly FlowNode[]) {
  return threes((node: FlowNode) => node.id, base, mine, theirs);
}

function byKey(base: readonly FlowEdge[], mine: readonly FlowEdge[], theirs: readonly FlowEdge[]) {
  return threes(edgeKey, base, mine, theirs);
}

/** Return the three versions of each element, in the order of theirs, then of mine. */
function threes<Value>(
  keyOf: (value: Value) => string,
  base: readonly Value[],
  mine: readonly Value[],
  theirs: readonly Value[],
): Map<string, Three<Value>> {
  const [from, here, there] = [base, mine, theirs].map(
    (values) => new Map(values.map((value) => [keyOf(value), value])),
  );
  const keys = new Set([...(there?.keys() ?? []), ...(here?.keys() ?? []), ...(from?.keys() ?? [])]);
  return new Map(
    [...keys].map((key) => [key, { base: from?.get(key), mine: here?.get(key), theirs: there?.get(key) }]),
  );
}
