import type { components } from "../../api/schema";
import type { ExactFlow } from "./exact-flow";

type Tensor = components["schemas"]["TensorSpec"];

/** Return a flow to begin with: a flow has at least one node. */
export function blankFlow(name: string): ExactFlow {
  return { name, nodes: [{ id: "input", type: "api_input", config: {} }], edges: [] };
}

/** Return a tensor as `x FP32 [-1, 4]`. */
export function shownTensor({ name, datatype, shape }: Tensor): string {
  return `${name} ${datatype} ${shape ? `[${shape.join(", ")}]` : "of any shape"}`;
}

/** Whether a file's name is that of a model. */
export function isModelFile(file: string): boolean {
  return file.toLowerCase().endsWith(".onnx");
}

/** Return a model's name for a file: only the characters that names may have. */
export function modelNameOf(file: string): string {
  return file
    .replace(/\.onnx$/i, "")
    .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
    .replaceAll(/\.{2,}/g, ".")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 128);
}
