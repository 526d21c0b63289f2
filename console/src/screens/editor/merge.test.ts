import { describe, expect, it } from "vitest";
import { type Draft, edgeKey } from "./draft";
import { merge } from "./merge";
import { draftWith } from "./testing";

const base = draftWith({ a: {}, b: { config: { expression: "1" } }, c: {} }, "a b", "b c");
const edges = (draft: Draft) => draft.edges.map(edgeKey);
const nodes = (draft: Draft) => draft.nodes.map(({ id }) => id);
const withNode = (draft: Draft, id: string, members: object): Draft => ({
  ...draft,
  nodes: draft.nodes.map((node) => (node.id === id ? { ...node, ...members } : node)),
});

describe("a merge of two drafts that were made of one", () => {
  it("has what each side has changed in different nodes", () => {
    const mine = withNode(base, "a", { name: "Mine" });
    const theirs = withNode(base, "c", { name: "Theirs" });
    const { draft, conflicts, changedByThem } = merge(base, mine, theirs);
    expect(conflicts).toEqual([]);
    expect(draft.nodes.map(({ name }) => name)).toEqual(["Mine", undefined, "Theirs"]);
    expect(changedByThem).toEqual(["c"]);
  });

  it("has nodes and edges that either side has added, and not what either has deleted", () => {
    const mine = draftWith({ a: {}, b: { config: { expression: "1" } }, d: {} }, "a b", "b d");
    const theirs = draftWith(
      { a: {}, b: { config: { expression: "1" } }, c: {}, e: {} },
      "a b",
      "b c",
      "e a",
    );
    const { draft, conflicts } = merge(base, mine, theirs);
    expect(conflicts).toEqual([]);
    expect(nodes(draft)).toEqual(["a", "b", "e", "d"]);
    expect(edges(draft)).toEqual(["a → b", "e → a", "b → d"]);
  });

  it("is without conflict where both have done the same", () => {
    const same = withNode(base, "b", { config: { expression: "2" } });
    const { draft, conflicts, changedByThem } = merge(base, same, structuredClone(same));
    expect(draft).toEqual(same);
    expect(conflicts).toEqual([]);
    expect(changedByThem).toEqual([]);
  });

  it("asks about a node that both have changed, and takes the side that was chosen", () => {
    const mine = withNode(base, "b", { config: { expression: "2" } });
    const theirs = withNode(base, "b", { config: { expression: "3" } });
    expect(merge(base, mine, theirs).conflicts.map(({ id }) => id)).toEqual(["b"]);
    for (const [side, expression] of [
      ["mine", "2"],
      ["theirs", "3"],
    ] as const) {
      const { draft, conflicts } = merge(base, mine, theirs, new Map([["b", side]]));
      expect(conflicts).toEqual([]);
      expect(draft.nodes[1]?.config).toEqual({ expression });
    }
  });

  it("asks about a node that one has deleted and the other changed; kept, it has its edges", () => {
    const mine = draftWith({ a: {}, c: {} });
    const theirs = withNode(base, "b", { name: "Theirs" });
    const { conflicts } = merge(base, mine, theirs);
    expect(conflicts).toEqual([{ id: "b", mine: undefined, theirs: theirs.nodes[1] }]);
    expect(edges(merge(base, mine, theirs, new Map([["b", "theirs"]])).draft)).toEqual(["a → b", "b → c"]);
    expect(nodes(merge(base, mine, theirs, new Map([["b", "mine"]])).draft)).toEqual(["a", "c"]);
  });

  it("asks about a node that one has deleted and the other newly connected", () => {
    const mine: Draft = { ...base, edges: [...base.edges, { source: "a", target: "c" }] };
    const theirs = draftWith({ a: {}, b: { config: { expression: "1" } } }, "a b");
    expect(merge(base, mine, theirs).conflicts.map(({ id }) => id)).toEqual(["c"]);
  });

  it("does not ask about places: mine stay, and theirs come where I moved nothing", () => {
    const mine = withNode(base, "a", { position: { x: 1, y: 1 }, name: "Mine" });
    const theirs = withNode(withNode(base, "a", { position: { x: 2, y: 2 } }), "b", {
      position: { x: 3, y: 3 },
    });
    const { draft, conflicts } = merge(base, mine, theirs);
    expect(conflicts).toEqual([]);
    expect(draft.nodes[0]).toMatchObject({ name: "Mine", position: { x: 1, y: 1 } });
    expect(draft.nodes[1]?.position).toEqual({ x: 3, y: 3 });
  });

  it("keeps no edge whose node is gone", () => {
    const mine: Draft = { ...base, edges: [...base.edges, { source: "a", target: "c" }] };
    const theirs = draftWith({ a: {}, b: { config: { expression: "1" } } }, "a b");
    expect(edges(merge(base, mine, theirs, new Map([["c", "theirs"]])).draft)).toEqual(["a → b"]);
  });

  it("takes a new name from the side that has one", () => {
    expect(merge(base, base, { ...base, name: "Theirs" }).draft.name).toBe("Theirs");
    expect(merge(base, { ...base, name: "Mine" }, base).draft.name).toBe("Mine");
  });
});
