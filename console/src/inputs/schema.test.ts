import { describe, expect, it } from "vitest";
import type { Json, JsonObject } from "../formats/lossless-json";
import { controlOf, fits, frameOf, nameOfVariant, startOf } from "./schema";

const ROOT: JsonObject = { $defs: { colour: { enum: ["red", null] }, "a/b": { type: "boolean" } } };

function tensor(datatype: string, shape: number[] | null): Json {
  return { type: "array", "x-tensor": { datatype, shape } };
}

describe("controls", () => {
  it.each<[Json, string]>([
    [{ type: "integer" }, "number"],
    [{ type: "string" }, "text"],
    [{ type: "boolean" }, "boolean"],
    [{ enum: [1, 2] }, "choice"],
    [{ $ref: "#/$defs/colour" }, "choice"],
    [{ $ref: "#/$defs/a~1b" }, "boolean"],
    [{ anyOf: [{ type: "number" }, { type: "null" }] }, "number"],
    [{ allOf: [{ type: "string" }], title: "Name" }, "text"],
    [{ type: "object", properties: { a: {} } }, "object"],
    [{ type: "string", contentEncoding: "base64" }, "file"],
    [{ type: "string", contentMediaType: "image/png" }, "file"],
    [{ type: "array", items: { type: "array", items: { type: "number" } } }, "numbers"],
    [tensor("FP32", [-1, 4]), "numbers"],
    [tensor("FP32", [-1, 3, 224, 224]), "image"],
    [{ allOf: [tensor("UINT8", [28, 28, 1]), tensor("UINT8", [28, 28, 1])] }, "image"],
    [
      { anyOf: [{ type: "number" }, { enum: ["NaN"] }], "x-tensor": { datatype: "FP32", shape: [] } },
      "number",
    ],
    [{ const: "card" }, "choice"],
    [{ oneOf: [{ const: 1, title: "One" }, { const: 2 }] }, "choice"],
    [{ oneOf: [{ type: "string" }, { type: "number" }] }, "variants"],
    [{ anyOf: [{ type: "string" }, { type: "number" }, { type: "null" }] }, "variants"],
    [{ type: ["string", "null"] }, "text"],
    // Not known to the form: JSON
    [{ type: ["string", "number"] }, "json"],
    [{ oneOf: [] }, "json"],
    [tensor("BYTES", [-1]), "json"],
    [{ type: "array", items: { type: "object" } }, "json"],
    [{ type: "object" }, "json"],
    [{ $ref: "#/$defs/none" }, "json"],
    [{ $ref: "https://host/schema" }, "json"],
    [true, "json"],
  ])("%j is edited by: %s", (schema, kind) => {
    expect(controlOf(schema, ROOT, undefined).kind).toBe(kind);
  });

  it("a schema that refers to itself ends", () => {
    const root: JsonObject = { $defs: { a: { $ref: "#/$defs/a" } } };
    expect(controlOf({ $ref: "#/$defs/a" }, root, undefined)).toEqual({ kind: "json" });
  });

  it("where the signature has any shape, the value decides", () => {
    const rows = Array.from({ length: 8 }, () => Array.from({ length: 8 }, () => [0, 0, 0]));
    expect(controlOf(tensor("FP32", null), ROOT, rows).kind).toBe("image");
    expect(controlOf(tensor("FP32", null), ROOT, [[1, 2]]).kind).toBe("numbers");
  });
});

describe("variants", () => {
  const card: Json = {
    type: "object",
    properties: { kind: { const: "card" }, number: { type: "string" } },
    required: ["kind", "number"],
  };
  const cash: Json = { title: "Cash", properties: { kind: { const: "cash" } } };

  it.each<[Json, Json | undefined, boolean]>([
    [card, { kind: "card", number: "1" }, true],
    [card, { kind: "cash", number: "1" }, false],
    [card, { kind: "card" }, false],
    [cash, { kind: "cash", note: 1 }, true],
    [card, "card", false],
    [{ type: "integer" }, 3, true],
    [{ type: "string" }, 3, false],
    [{ type: "array" }, [1], true],
    [{ type: "boolean" }, false, true],
    [{ const: "x" }, "x", true],
    [{ type: "string" }, undefined, false],
  ])("%j is meant by %j: %s", (variant, value, is) => {
    expect(fits(variant, ROOT, value)).toBe(is);
  });

  it("has a name, and a value to begin with", () => {
    expect([card, cash, {}].map((one) => nameOfVariant(one, ROOT))).toEqual(["object", "Cash", null]);
    expect(startOf(card, ROOT)).toEqual({ kind: "card" });
    expect(startOf({ const: 3 }, ROOT)).toBe(3);
    expect(startOf({ type: "string" }, ROOT)).toBeUndefined();
  });
});

it.each([
  [[1, 3, 8, 8], { rank: 4, layout: "NCHW", channels: 3, width: 8, height: 8 }],
  [[-1, -1, -1, 3], { rank: 4, layout: "NHWC", channels: 3, width: null, height: null }],
  [[4, 10, 20], { rank: 3, layout: "NCHW", channels: 4, width: 20, height: 10 }],
  [[28, 30, 1], { rank: 3, layout: "NHWC", channels: 1, width: 30, height: 28 }],
  [[2, 3, 8, 8], null],
  [[1, 3, 4], null],
  [[3, 8], null],
  [[1, 5, 8, 8], null],
])("the picture in %j is %j", (shape, frame) => {
  expect(frameOf(shape)).toEqual(frame);
});
