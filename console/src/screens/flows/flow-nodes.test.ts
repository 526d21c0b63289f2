import { describe, expect, it } from "vitest";
import { canBeFast, nameOf } from "./flow-nodes";

const node = (id: string, type: string) => ({ id, type, config: {} });

describe("mode fast", () => {
  it("needs exactly one input, one inference node and one output", () => {
    const chain = [node("m", "inference"), node("i", "api_input"), node("o", "api_output")];
    expect(canBeFast({ nodes: chain, edges: [] })).toBe(true);
    expect(canBeFast({ nodes: chain.slice(0, 2), edges: [] })).toBe(false);
    expect(canBeFast({ nodes: [...chain, node("t", "transform")], edges: [] })).toBe(false);
  });
});

describe("the name of a node", () => {
  it("is its id where it has none", () => {
    expect(nameOf({ id: "a", type: "wait", name: "Pause" })).toBe("Pause");
    expect(nameOf({ id: "a", type: "wait", name: " " })).toBe("a");
  });
});
