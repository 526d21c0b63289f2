import { expect, it } from "vitest";
import { modelNameOf } from "./model-flow";

it.each([
  ["churn.onnx", "churn"],
  ["My model (v2).ONNX", "My-model-v2-"],
  [".hidden.onnx", "hidden"],
  ["größe.onnx", "gr-e"],
  ["a..b.onnx", "a.b"],
])("the file %s gives the model name %s", (file, name) => {
  expect(modelNameOf(file)).toBe(name);
});
