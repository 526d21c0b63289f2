import type { FlowEdge, FlowNode } from "../flows/flow-nodes";
import type { Draft } from "./draft";
import type { Kinds, NodeKind } from "./kinds";

/** A draft of nodes by id, and edges such as `a b` or `a b case`. For tests. */
export function draftWith(nodes: Record<string, Partial<FlowNode>>, ...edges: string[]): Draft {
  return {
    name: "Flow",
    nodes: Object.entries(nodes).map(([id, members]) => ({ id, type: "transform", ...members })),
    edges: edges.map((text): FlowEdge => {
      const [source = "", target = "", chosen] = text.split(" ");
      return chosen === undefined ? { source, target } : { source, target, case: chosen };
    }),
  };
}

export const KINDS: Kinds = new Map(
  [kind("api_input", [], ["out"]), kind("transform", ["in"], ["out"]), kind("api_output", ["in"], [])].map(
    (each) => [each.type, each],
  ),
);

function kind(type: string, inputs: string[], outputs: string[]): NodeKind {
  return {
    type,
    title: type,
    description: "",
    icon: "box",
    group: "data",
    config_schema: {},
    ui: { order: [], widgets: {} },
    ports: { inputs, outputs },
    defaults: {},
    docs_url: "",
  };
}
