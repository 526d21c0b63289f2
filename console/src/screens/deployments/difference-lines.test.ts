import { describe, expect, it } from "vitest";
import { breakingLines, differenceLines } from "./difference-lines";

const DIFFERENCE = {
  before: "1",
  after: "draft",
  same: false,
  problem: null,
  nodes: {
    added: [{ id: "extra", type: "transform" }],
    removed: [],
    changed: [{ id: "model", type: "inference", fields: [{ pointer: "/config/x", before: 1, after: null }] }],
  },
  edges: { added: [{ source: "a", target: "b" }], removed: [] },
  models: [
    {
      node: "model",
      before: { model: "iris", version: 1 },
      after: { model: "iris", version: 2 },
      signature_changed: true,
    },
  ],
  input_schema: {
    breaking: true,
    changes: [
      { pointer: "/title", before: "a", after: "b", breaking: false, reason: "" },
      { pointer: "/required", before: null, after: ["y"], breaking: true, reason: "y is required" },
    ],
  },
};

describe("the lines of a difference", () => {
  it("begin with what breaks calls", () => {
    const lines = differenceLines(DIFFERENCE);
    expect(lines.map(({ kind, where }) => `${kind} ${where}`)).toEqual([
      "schema /required",
      "schema /title",
      "model model",
      "added extra",
      "changed model/config/x",
      "edgeAdded a → b",
    ]);
    expect(lines[0]).toMatchObject({ before: null, after: '["y"]', breaks: "y is required" });
    expect(lines[2]).toMatchObject({ before: "iris v1", after: "iris v2, its tensors differ" });
  });

  it("name what breaks", () => {
    expect(breakingLines(DIFFERENCE)).toHaveLength(1);
  });
});
