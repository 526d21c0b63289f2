import { isObject, type Json, type JsonObject } from "../../formats/lossless-json";
import { countOf, flat, MAX_NUMBERS, nested, shapeOf } from "../../inputs/tensor";
import { modelTexts } from "../../strings/models";

interface Spec {
  name: string;
  datatype: string;
}

/** Return the tensors of a call for a JSON object: nested arrays become a shape and flat data. */
export function tensorsOf(input: JsonObject, specs: readonly Spec[]): JsonObject[] {
  return specs.flatMap(({ name, datatype }) => {
    const value = input[name];
    if (value === undefined) return [];
    const shape = shapeOf(value);
    if (shape === null) throw new TypeError(modelTexts.tryModel.notTensor(name));
    return { name, datatype, shape, data: flat(value) };
  });
}

/** Return the nested arrays of the tensors of a call or an answer, by name; null: they are none. */
export function valuesOf(tensors: Json | undefined): JsonObject | null {
  if (!Array.isArray(tensors)) return null;
  const values: JsonObject = {};
  for (const tensor of tensors) {
    if (!isObject(tensor)) return null;
    const { name, shape, data } = tensor;
    if (typeof name !== "string" || !Array.isArray(shape) || !Array.isArray(data)) return null;
    const sizes = shape.map(Number);
    if (!sizes.every((size) => size >= 0 && size <= MAX_NUMBERS)) return null;
    const elements = flat(data); // nested data is allowed, too
    if (elements.length !== countOf(sizes)) return null;
    values[name] = nested(elements, sizes);
  }
  return values;
}
