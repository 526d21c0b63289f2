import { isObject, type Json } from "../../formats/lossless-json";
import type { RunDocument } from "../runs/run-queries";
import type { Draft } from "./draft";

/** What a run has found of a node. */
export interface NodeResult {
  runId: string;
  /** `completed`, `failed`, `skipped` or `cancelled`. */
  status: string;
  seconds: number | null;
  /** As it is shown; undefined: there is none. */
  output: Json | undefined;
  error: { code: string; message: string } | null;
}

/** Return the result of a node as a run or one of its events has it. */
export function resultOf(runId: string, entry: Json): NodeResult | null {
  if (!isObject(entry)) return null;
  const { status, duration_seconds: seconds, error } = entry;
  return {
    runId,
    status: String(status),
    seconds: typeof seconds === "number" ? seconds : null,
    output: entry["output"],
    error: isObject(error) ? { code: String(error["code"]), message: String(error["message"]) } : null,
  };
}

/** Return the results of the nodes of a run that has ended. */
export function resultsOf({ facts, input, output, nodes }: RunDocument): Map<string, NodeResult> {
  const found = new Map<string, NodeResult>();
  for (const [id, entry] of Object.entries(nodes)) {
    const result = resultOf(facts.flow_run_id, entry);
    if (!result || !isObject(entry)) continue;
    // Of these two the run has the values, once.
    if (entry["type"] === "api_input") result.output ??= input ?? undefined;
    if (entry["type"] === "api_output") result.output ??= output ?? undefined;
    found.set(id, result);
  }
  return found;
}

/** Return the output of a node as later nodes read it; undefined: it is not known. */
export function knownOutput(result: NodeResult | undefined): Json | undefined {
  if (result?.status !== "completed" || isCut(result.output)) return undefined;
  return result.output;
}

/** Whether the gateway has put the beginning of a value in its place, as it was too large. */
function isCut(output: Json | undefined): boolean {
  return isObject(output) && output["truncated"] === true && typeof output["preview"] === "string";
}

/** Return the outputs with which a run can be tried again from the node that failed. */
export function pinsBefore(
  failed: string | null,
  results: ReadonlyMap<string, NodeResult>,
  draft: Draft,
  before: (id: string) => readonly string[],
): Map<string, Json> {
  const pins = new Map<string, Json>();
  if (failed === null) return pins;
  const inputs = new Set(draft.nodes.filter(({ type }) => type === "api_input").map(({ id }) => id));
  for (const id of before(failed)) {
    const value = knownOutput(results.get(id));
    if (value !== undefined && !inputs.has(id)) pins.set(id, value);
  }
  return pins;
}
