import type { components } from "../../api/schema";
import { edgesOf, type FlowEdge, type FlowNode, nodesOf } from "../flows/flow-nodes";

/** What the editor changes of a flow. It is never changed in place. */
export interface Draft {
  name: string;
  nodes: readonly FlowNode[];
  edges: readonly FlowEdge[];
}

export function draftOf(flow: components["schemas"]["FlowOut"]): Draft {
  return { name: flow.name, nodes: nodesOf(flow), edges: edgesOf(flow) };
}

/** Return the body of a request that saves a draft; the gateway finds its errors. */
export function bodyOf(draft: Draft): components["schemas"]["FlowIn"] {
  const nodes = [...draft.nodes] as components["schemas"]["FlowNode"][];
  return { name: draft.name, nodes, edges: [...draft.edges] };
}

/** Return what tells an edge from others: no flow has two with the same ends and case. */
export function edgeKey({ source, target, case: chosen }: FlowEdge): string {
  return chosen === undefined ? `${source} → ${target}` : `${source} [${chosen}] → ${target}`;
}
