import { api } from "../../api/client";
import { type Tagged, taggedOf } from "../../api/etag";
import type { components } from "../../api/schema";
import { parseJson, stringifyJson } from "../../formats/lossless-json";

/** A flow's name and graph, in which a number that JavaScript would round is an `ExactNumber`. */
export interface ExactFlow {
  name: string;
  nodes: Record<string, unknown>[];
  edges: Record<string, unknown>[];
}

type Flow = components["schemas"]["FlowOut"];
type FlowIn = components["schemas"]["FlowIn"];

/** Of a request with a flow, as the gateway takes it. */
export const MAX_FLOW_BYTES = 4 * 2 ** 20;

const INDENT = 2;
const MAX_NAME = 200;

export async function loadExactFlow(flowId: string): Promise<Tagged<ExactFlow>> {
  const answer = await api.GET("/node/flows/{flow_id}/", {
    params: { path: { flow_id: flowId } },
    cache: "no-store",
    parseAs: "text",
  });
  const { value, etag } = taggedOf(answer);
  return { value: flowOf(value), etag };
}

/** Save a new flow. */
export async function createExactFlow(flow: ExactFlow): Promise<Flow> {
  const { data } = await api.POST("/node/flows/", { body: flow as FlowIn, bodySerializer: stringifyJson });
  if (!data) throw new Error("an answer without a body");
  return data;
}

/** Replace a flow if it is as it was when it had this entity tag; return its new one. */
export async function replaceExactFlow(flowId: string, flow: ExactFlow, etag: string): Promise<string> {
  const { response } = await api.PUT("/node/flows/{flow_id}/", {
    params: { path: { flow_id: flowId } },
    headers: { "If-Match": etag },
    body: flow as FlowIn,
    bodySerializer: stringifyJson,
  });
  return response.headers.get("etag") ?? "";
}

/** Return the flow that a text has: it was read by the gateway, or comes from it. */
export function flowOf(text: string): ExactFlow {
  const { name, nodes, edges = [] } = parseJson(text) as unknown as ExactFlow;
  return { name, nodes, edges };
}

/** Return a flow as a file, which import takes. */
export function fileOf(flow: ExactFlow): { text: string; filename: string } {
  const readable = stringifyJson(flow, INDENT);
  const isImported = new Blob([readable]).size <= MAX_FLOW_BYTES;
  const words = flow.name.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["flow"];
  return { text: isImported ? readable : stringifyJson(flow), filename: `${words.join("-")}.json` };
}

/** Return the same flow under another name, of which the gateway takes 200 characters. */
export function copyOf(flow: ExactFlow, name: string): ExactFlow {
  return { ...flow, name: [...name].slice(0, MAX_NAME).join("") };
}
