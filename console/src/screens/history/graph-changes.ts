import { isSame } from "../../formats/same";
import { flowTexts } from "../../strings/flows";
import { edgeKey } from "../editor/draft";
import type { ExactFlow } from "../flows/exact-flow";
import { edgesOf, type FlowEdge, type FlowNode, nodesOf } from "../flows/flow-nodes";

export interface GraphChange {
  text: string;
  /** The id of a node that is there afterwards; null: the change concerns none. */
  node: string | null;
  kind: "added" | "changed" | "other";
}

const words = flowTexts.history.words;

/** Say what was changed between two states of a flow: nodes first, then edges, its name and positions. */
export function graphChanges(before: ExactFlow, after: ExactFlow): GraphChange[] {
  const [old, present] = [byId(before), byId(after)];
  const added = [...present.values()].filter(({ id }) => !old.has(id));
  const removed = [...old.values()].filter(({ id }) => !present.has(id));
  const both = [...present.values()].flatMap((node) => {
    const earlier = old.get(node.id);
    return earlier ? [{ node, members: changedMembers(earlier, node), earlier }] : [];
  });
  const moved = both.filter(({ node, earlier }) => !isSame(node.position, earlier.position)).length;
  const isNewOrGone = ({ source, target }: FlowEdge) =>
    [source, target].some((id) => old.has(id) !== present.has(id));
  return [
    ...added.map(({ id, type }): GraphChange => ({ kind: "added", node: id, text: words.added(id, type) })),
    ...removed.map(({ id, type }) => other(words.removed(id, type))),
    ...both
      .filter(({ members }) => members.length > 0)
      .map(({ node: { id }, members }): GraphChange => {
        return { kind: "changed", node: id, text: words.changed(id, members.join(", ")) };
      }),
    // The edges of nodes that were added or removed go without saying.
    ...edgeTexts(
      edgesOf(before).filter((edge) => !isNewOrGone(edge)),
      edgesOf(after).filter((edge) => !isNewOrGone(edge)),
    ).map(other),
    ...(before.name === after.name ? [] : [other(words.renamed(after.name))]),
    ...(moved ? [other(words.moved(moved))] : []),
  ];
}

function other(text: string): GraphChange {
  return { kind: "other", node: null, text };
}

function byId(flow: ExactFlow): Map<string, FlowNode> {
  return new Map(nodesOf(flow).map((node) => [node.id, node]));
}

/** Name the members that differ, those of `config` by themselves. */
function changedMembers(before: FlowNode, after: FlowNode): string[] {
  const [{ config: oldConfig = {}, position: _, ...old }, { config = {}, position: __, ...present }] = [
    before,
    after,
  ];
  return [...differing(oldConfig, config).map((member) => `config.${member}`), ...differing(old, present)];
}

function differing(before: Record<string, unknown>, after: Record<string, unknown>): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => !isSame(before[name], after[name]));
}

function edgeTexts(before: readonly FlowEdge[], after: readonly FlowEdge[]): string[] {
  const [old, present] = [before, after].map((edges) => new Map(edges.map((edge) => [edgeKey(edge), edge])));
  const keys = [...new Set([...(old?.keys() ?? []), ...(present?.keys() ?? [])])];
  return keys.flatMap((key) => {
    const [earlier, edge] = [old?.get(key), present?.get(key)];
    if (!earlier) return [words.connected(key)];
    if (!edge) return [words.disconnected(key)];
    return isSame(earlier, edge) ? [] : [words.edge(key)];
  });
}
