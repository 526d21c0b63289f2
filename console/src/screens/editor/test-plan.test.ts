import { describe, expect, it } from "vitest";
import { plannedNodes, reachableNodes, runningNodes } from "./test-plan";
import { draftWith } from "./testing";

const draft = draftWith(
  { in: { type: "api_input" }, a: {}, b: {}, c: {}, alone: {}, out: { type: "api_output" } },
  "in a",
  "a b",
  "a c",
  "b out",
  "alone c",
);
const planned = (part: object, ...pins: string[]) =>
  [...plannedNodes(draft, part, new Map(pins.map((id) => [id, 1])))].sort();

describe("a test", () => {
  it("runs what the input leads to", () => {
    expect([...reachableNodes(draft)].sort()).toEqual(["a", "b", "c", "in", "out"]);
    expect(planned({})).toEqual(["a", "b", "c", "in", "out"]);
  });

  it("runs up to a node, or one node", () => {
    expect(planned({ until: "b" })).toEqual(["a", "b", "in"]);
    expect(planned({ only: "b" })).toEqual(["b"]);
  });

  it("runs neither pinned nodes nor what only they need", () => {
    expect(planned({ until: "b" }, "a")).toEqual(["b"]);
    expect(planned({}, "b")).toEqual(["a", "c", "in", "out"]);
  });

  it("runs the nodes whose predecessors have ended", () => {
    const nodes = plannedNodes(draft, {}, new Map());
    const ended = new Set(["in", "a", "b"]);
    expect([...runningNodes(draft, nodes, (id) => ended.has(id))].sort()).toEqual(["c", "out"]);
    expect([...runningNodes(draft, nodes, () => false)]).toEqual(["in"]);
  });
});
