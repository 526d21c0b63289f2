import type { ManageCall } from "../../formats/curl";
import { firstStepTexts } from "../../strings/first-steps";
import type { ExactFlow } from "./exact-flow";

const FLOWS = "/node/flows/";

/** Return the request that makes a flow. */
export function flowRequests(flow: ExactFlow): ManageCall[] {
  return [{ method: "POST", path: FLOWS, body: flow }];
}

/** Return the request that imports a file. */
export function importRequests(file: string): ManageCall[] {
  return [{ method: "POST", path: FLOWS, file }];
}

/** Return the requests that make a flow around a model; with a file, which publish it first. */
export function modelRequests(model: string, file?: string): ManageCall[] {
  const publish: ManageCall[] =
    file === undefined
      ? []
      : [{ method: "POST", path: `/node/models/?${new URLSearchParams({ name: model })}`, file }];
  const comment = firstStepTexts.newFlow.curlStarter(`/node/models/${model}/versions/latest/starter/`);
  return [...publish, { method: "POST", path: FLOWS, file: "flow.json", comment }];
}
