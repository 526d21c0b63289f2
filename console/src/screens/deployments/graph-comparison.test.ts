import { expect, it } from "vitest";
import type { components } from "../../api/schema";
import { comparisonOf } from "./graph-comparison";

type Difference = components["schemas"]["DifferenceOut"];

const DIFFERENCE: Difference = {
  before: "1",
  after: "draft",
  same: false,
  breaking: false,
  problem: null,
  nodes: {
    added: [{ id: "new", type: "transform" }],
    removed: [{ id: "old", type: "wait" }],
    changed: [{ id: "output", type: "api_output", fields: [] }],
  },
  edges: {
    added: [{ source: "input", target: "new" }],
    removed: [
      { source: "input", target: "old" },
      { source: "input", target: "new", note: "another" },
    ],
  },
  models: [],
  input_schema: { changes: [], breaking: false },
} as unknown as Difference;

it("both graphs are one, with marks in words", () => {
  const after = {
    nodes: [
      { id: "input", type: "api_input" },
      { id: "new", type: "transform" },
      { id: "output", type: "api_output" },
    ],
    edges: [{ source: "input", target: "new" }],
  };
  const { graph, marks, edgeMarks, label } = comparisonOf(DIFFERENCE, after);
  expect(graph.nodes.map(({ id }) => id)).toEqual(["input", "new", "output", "old"]);
  expect(graph.edges).toHaveLength(2);
  expect([...marks].map(([id, mark]) => [id, mark.text])).toEqual([
    ["new", "Added"],
    ["output", "Changed"],
    ["old", "Removed"],
  ]);
  expect([...edgeMarks.values()].map(({ text, isDashed }) => [text, isDashed])).toEqual([
    ["+ added", false],
    ["− removed", true],
  ]);
  expect(label).toContain("1 nodes added, 1 removed, 1 changed");
});
