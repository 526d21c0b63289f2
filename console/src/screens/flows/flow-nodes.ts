/** A graph as the API has it, or as a draft that may have errors. */
interface Graph {
  nodes: Record<string, unknown>[];
  edges: Record<string, unknown>[];
}

export type Config = Record<string, unknown>;

export interface Position {
  x: number;
  y: number;
}

/** A node as the API has it: members that are not named here are kept. */
export interface FlowNode {
  id: string;
  type: string;
  name?: string;
  config?: Config;
  /** Where the editor shows it; the gateway keeps and ignores it. */
  position?: Position;
  [member: string]: unknown;
}

export interface FlowEdge {
  source: string;
  target: string;
  case?: string;
  [member: string]: unknown;
}

/** Return the nodes of a flow, with a configuration that may have errors. */
export function nodesOf(flow: Graph): FlowNode[] {
  return flow.nodes as FlowNode[];
}

export function edgesOf(flow: Graph): FlowEdge[] {
  return flow.edges as FlowEdge[];
}

/** Return what a node is called: its name, or its id. */
export function nameOf(node: FlowNode): string {
  return typeof node.name === "string" && node.name.trim() ? node.name : node.id;
}

/** Whether mode fast is possible: exactly one input, one inference node and one output. */
export function canBeFast(flow: Graph): boolean {
  const types = nodesOf(flow)
    .map((node) => node.type)
    .sort();
  return types.join() === "api_input,api_output,inference";
}

export function modelsOf(flow: Graph): string[] {
  const models = nodesOf(flow).filter((node) => node.type === "inference");
  return [...new Set(models.map((node) => String(node.config?.["model"] ?? "")))];
}
