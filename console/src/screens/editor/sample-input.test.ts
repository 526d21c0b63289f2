import { describe, expect, it } from "vitest";
import { sampleOf } from "./sample-input";

const NUMBER = { anyOf: [{ type: "number" }, { enum: ["NaN"] }] };

describe("an example of an input", () => {
  it("has the required members by their types", () => {
    const schema = {
      type: "object",
      properties: {
        x: { type: "array", items: { type: "array", items: NUMBER, minItems: 2 } },
        n: { type: "integer", minimum: 7 },
        choice: { enum: ["a", "b"] },
        other: { type: "string" },
      },
      required: ["x", "n", "choice"],
    };
    expect(sampleOf(schema)).toEqual({ x: [[0.5, 0.5]], n: 7, choice: "a" });
  });

  it("has all members where none is required, and what the schema states", () => {
    const properties = { flag: { type: "boolean" }, name: { type: "string", default: "Ada" } };
    expect(sampleOf({ properties })).toEqual({ flag: true, name: "Ada" });
  });

  it("is not made of more values than can be edited", () => {
    expect(sampleOf({ type: "array", minItems: 1_000_000_000, items: NUMBER })).toBeUndefined();
    const row = { type: "array", minItems: 100, items: NUMBER };
    expect(sampleOf({ type: "array", minItems: 100, items: row })).toBeUndefined();
  });
});
