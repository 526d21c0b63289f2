import { ExactNumber, isObject, type Json, type JsonObject } from "../formats/lossless-json";
import { shapeOf, type Tensor } from "./tensor";

/** The control of a value. */
export type Control =
  | { kind: "boolean" | "number" | "text" | "object" | "json" }
  | { kind: "choice"; options: readonly Json[] }
  /** One of several schemas. */
  | { kind: "variants"; variants: readonly Json[] }
  | { kind: "numbers"; tensor: Tensor }
  | { kind: "image"; tensor: Tensor; frame: Frame }
  /** `type`: of the media that the file is to have, such as `image/*`. */
  | { kind: "file"; type: string };

/** Where the dimensions of a picture are in a tensor. */
export interface Frame {
  rank: 3 | 4;
  layout: "NCHW" | "NHWC";
  channels: 1 | 3 | 4;
  /** Null: any. */
  width: number | null;
  height: number | null;
}

const TENSOR = "x-tensor";
const NUMBERS = /^(U?INT|FP|BF)\d+$/;
/** A picture is at least so wide and high; a table of numbers may be narrower. */
const SMALLEST_PICTURE = 8;

/**
 * Return the control for a value: by its schema, of which `root` is the whole, and by the value itself where that
 * says more. What the schema has that controls do not know is edited as JSON.
 */
export function controlOf(schema: Json, root: JsonObject, value: Json | undefined): Control {
  const found = resolved(schema, root);
  const tensor = tensorOf(found);
  if (tensor && tensor.shape?.length !== 0) return controlOfTensor(tensor, value);
  if (Array.isArray(found["enum"])) return { kind: "choice", options: found["enum"] };
  if (found["const"] !== undefined) return { kind: "choice", options: [found["const"]] };
  switch (typeOf(found)) {
    case "boolean":
      return { kind: "boolean" };
    case "integer":
    case "number":
      return { kind: "number" };
    case "string":
      return controlOfText(found);
    case "object":
      return { kind: isObject(found["properties"]) ? "object" : "json" };
    default:
      return tensor ? { kind: "number" } : (controlOfVariants(found, root) ?? { kind: "json" });
  }
}

/** The only type of a schema, beside null. */
function typeOf({ type }: JsonObject): Json | undefined {
  if (!Array.isArray(type)) return type;
  const types = type.filter((one) => one !== "null");
  return types.length === 1 ? types[0] : undefined;
}

function controlOfVariants({ oneOf: variants }: JsonObject, root: JsonObject): Control | null {
  if (!Array.isArray(variants) || variants.length === 0) return null;
  const values = variants.map((one) => resolved(one, root)["const"]).filter((one) => one !== undefined);
  return values.length === variants.length
    ? { kind: "choice", options: values }
    : { kind: "variants", variants };
}

/** Return what a variant is called: by its title, or by the type of its values. */
export function nameOfVariant(variant: Json, root: JsonObject): string | null {
  const found = resolved(variant, root);
  const name = found["title"] ?? typeOf(found);
  return typeof name === "string" ? name : null;
}

/** Whether a value may be meant by a variant: by its type, its required members and its constants. */
export function fits(variant: Json, root: JsonObject, value: Json | undefined): boolean {
  const found = resolved(variant, root);
  const { const: constant, properties, required } = found;
  if (constant !== undefined) return constant === value;
  const type = typeOf(found);
  if (isObject(value) && !(value instanceof ExactNumber)) {
    if (type !== undefined && type !== "object") return false;
    const needed = Array.isArray(required) ? required : [];
    if (needed.some((name) => typeof name === "string" && value[name] === undefined)) return false;
    const members = Object.entries(isObject(properties) ? properties : {});
    return members.every(([name, member]) => {
      const expected = resolved(member, root)["const"];
      return expected === undefined || value[name] === undefined || value[name] === expected;
    });
  }
  if (value === undefined || type === undefined) return false;
  if (Array.isArray(value)) return type === "array";
  if (value instanceof ExactNumber || typeof value === "number")
    return type === "number" || type === "integer";
  return typeof value === type;
}

/** Return what a value of a variant begins as: an object with its constants; undefined for other types. */
export function startOf(variant: Json, root: JsonObject): Json | undefined {
  const { const: constant, properties } = resolved(variant, root);
  if (constant !== undefined) return constant;
  if (!isObject(properties)) return undefined;
  const constants = Object.entries(properties).map(
    ([name, member]) => [name, resolved(member, root)["const"]] as const,
  );
  return Object.fromEntries(constants.filter((member): member is [string, Json] => member[1] !== undefined));
}

function controlOfText(schema: JsonObject): Control {
  const media = schema["contentMediaType"];
  const isFile =
    schema["contentEncoding"] === "base64" || (typeof media === "string" && media.startsWith("image/"));
  return isFile ? { kind: "file", type: typeof media === "string" ? media : "*/*" } : { kind: "text" };
}

function controlOfTensor(tensor: Tensor, value: Json | undefined): Control {
  const shape = tensor.shape ?? (value === undefined ? null : shapeOf(value));
  const frame = shape && frameOf(shape);
  return frame ? { kind: "image", tensor, frame } : { kind: "numbers", tensor };
}

/** Return where a picture is in a tensor of this shape; null: it holds none. */
export function frameOf(shape: readonly number[]): Frame | null {
  const inner = shape.length === 4 && (shape[0] === 1 || (shape[0] ?? 0) < 0) ? shape.slice(1) : shape;
  if (inner.length !== 3) return null;
  const rank = shape.length as 3 | 4;
  const [first = 0, second = 0, third = 0] = inner;
  const isSide = (size: number) => size < 0 || size >= SMALLEST_PICTURE;
  const side = (size: number) => (size < 0 ? null : size);
  if (isChannels(first) && isSide(second) && isSide(third))
    return { rank, layout: "NCHW", channels: first, width: side(third), height: side(second) };
  if (isChannels(third) && isSide(first) && isSide(second))
    return { rank, layout: "NHWC", channels: third, width: side(second), height: side(first) };
  return null;
}

function isChannels(size: number): size is 1 | 3 | 4 {
  return size === 1 || size === 3 || size === 4;
}

/** Return which tensor of numbers a value becomes, by `x-tensor` or by the schema's nested arrays of numbers. */
function tensorOf(schema: JsonObject): Tensor | null {
  const hint = schema[TENSOR];
  if (isObject(hint)) {
    const { datatype, shape } = hint;
    if (typeof datatype !== "string" || !NUMBERS.test(datatype)) return null;
    return { datatype, shape: Array.isArray(shape) ? shape.map(Number) : null };
  }
  const shape: number[] = [];
  let inner: Json | undefined = schema;
  while (isObject(inner) && inner["type"] === "array") {
    const { minItems, maxItems } = inner;
    shape.push(typeof minItems === "number" && minItems === maxItems ? minItems : -1);
    inner = inner["items"];
  }
  const type = isObject(inner) ? inner["type"] : undefined;
  if (shape.length === 0 || (type !== "number" && type !== "integer")) return null;
  return { datatype: null, shape };
}

/**
 * Return a schema with the members that it refers to within `root`, those of all its `allOf`, and of an `anyOf` of
 * one schema and null that one. An `anyOf` of several becomes `oneOf`.
 */
export function resolved(schema: Json, root: JsonObject, depth = 0): JsonObject {
  if (!isObject(schema) || depth > MAX_DEPTH) return {};
  const { $ref: reference, allOf, anyOf, ...own } = schema;
  const parts: Json[] = Array.isArray(allOf) ? [...allOf] : [];
  if (typeof reference === "string") parts.push(referred(reference, root));
  const variants = Array.isArray(anyOf)
    ? anyOf.filter((one) => !isObject(one) || one["type"] !== "null")
    : [];
  const [only, ...others] = variants;
  if (only !== undefined) parts.push(others.length ? { oneOf: variants } : only);
  return Object.assign({}, ...parts.map((part) => resolved(part, root, depth + 1)), own) as JsonObject;
}

const MAX_DEPTH = 20;

function referred(reference: string, root: JsonObject): Json {
  if (!reference.startsWith("#/")) return {};
  const names = reference
    .slice(2)
    .split("/")
    .map((name) => decodeURIComponent(name).replaceAll("~1", "/").replaceAll("~0", "~"));
  return names.reduce<Json>((at, name) => (isObject(at) ? (at[name] ?? {}) : {}), root);
}
