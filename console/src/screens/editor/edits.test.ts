import { describe, expect, it } from "vitest";
import { casesOf, refusal } from "./connections";
import { edgeKey } from "./draft";
import { DraftStore } from "./draft-store";
import { addNode, edgeFrom, moveBy, partOf, partOfText, paste, remove } from "./edits";
import { columnsOf, positionsOf } from "./layout";
import { draftWith, KINDS } from "./testing";
import { rowsOf } from "./tree";

const chain = draftWith({ in: { type: "api_input" }, a: {}, out: { type: "api_output" } }, "in a", "a out");
const kind = (type: string) => {
  const found = KINDS.get(type);
  if (!found) throw new Error(type);
  return found;
};

describe("an edge", () => {
  it("is refused with the way of the cycle it would close", () => {
    const draft = draftWith({ a: {}, b: {}, c: {} }, "a b", "b c");
    expect(refusal(draft, KINDS, { source: "c", target: "a" })).toEqual({
      reason: "cycle",
      path: ["a", "b", "c", "a"],
    });
    expect(refusal(draft, KINDS, { source: "b", target: "b" })).toEqual({
      reason: "cycle",
      path: ["b", "b"],
    });
    expect(refusal(draft, KINDS, { source: "a", target: "c" })).toBeNull();
  });

  it("is refused a second time, into an input, and out of an output", () => {
    expect(refusal(chain, KINDS, { source: "in", target: "a" })).toEqual({ reason: "duplicate", node: "a" });
    expect(refusal(chain, KINDS, { source: "a", target: "in" })).toEqual({ reason: "noInputs", node: "in" });
    expect(refusal(chain, KINDS, { source: "out", target: "a" })).toEqual({
      reason: "noOutputs",
      node: "out",
    });
  });

  it("may lead from a branch once for each case", () => {
    const branch = { type: "branch", config: { cases: [{ name: "x" }, { name: "y" }], default: "z" } };
    const draft = draftWith({ b: branch, a: {} }, "b a x");
    expect(draft.nodes.map(casesOf)).toEqual([["x", "y", "z"], []]);
    expect(edgeFrom(draft, "b", "a")).toEqual({ source: "b", target: "a", case: "y" });
    expect(refusal(draft, KINDS, { source: "b", target: "a", case: "x" })?.reason).toBe("duplicate");
    expect(refusal(draft, KINDS, { source: "b", target: "a", case: "y" })).toBeNull();
  });
});

describe("a new node", () => {
  it("comes after the selected one, right of it, with a free id and an edge", () => {
    const { draft, id } = addNode(chain, KINDS, kind("transform"), { after: "a" });
    expect(id).toBe("transform");
    expect(draft.edges.map(edgeKey)).toContain("a → transform");
    expect(addNode(draft, KINDS, kind("transform"), {}).id).toBe("transform_2");
    expect(addNode(draft, KINDS, kind("api_input"), {}).id).toBe("input");
  });

  it("gets no edge where none is possible", () => {
    const { draft } = addNode(chain, KINDS, kind("transform"), { after: "out" });
    expect(draft.edges).toEqual(chain.edges);
  });

  it("lies on no other", () => {
    const places = [...positionsOf(addNode(chain, KINDS, kind("transform"), { after: "a" }).draft).values()];
    expect(new Set(places.map(({ x, y }) => `${x} ${y}`)).size).toBe(4);
  });
});

describe("nodes", () => {
  it("take their edges with them when they are removed", () => {
    const left = remove(chain, new Set(["a"]), new Set());
    expect(left.nodes.map(({ id }) => id)).toEqual(["in", "out"]);
    expect(left.edges).toEqual([]);
    expect(remove(chain, new Set(), new Set(["in → a"])).edges.map(edgeKey)).toEqual(["a → out"]);
  });

  it("move, and leave the others where they were shown", () => {
    const before = positionsOf(chain);
    const after = positionsOf(moveBy(chain, new Set(["a"]), { x: 10, y: -10 }));
    expect(after.get("a")).toEqual({ x: (before.get("a")?.x ?? 0) + 10, y: (before.get("a")?.y ?? 0) - 10 });
    expect(after.get("out")).toEqual(before.get("out"));
  });

  it("are pasted with the edges between them, and with ids that are free", () => {
    const part = partOfText(JSON.stringify(partOf(chain, new Set(["in", "a"]))));
    if (!part) throw new Error("expected a part");
    const { draft, ids } = paste(chain, part);
    expect([...ids]).toEqual(["in_2", "a_2"]);
    expect(draft.edges.map(edgeKey)).toEqual(["in → a", "a → out", "in_2 → a_2"]);
  });

  it("are not pasted from a text that has none", () => {
    for (const text of ["", "text", "3", "null", '{"nodes": []}', '{"nodes": [{"id": 1}]}'])
      expect(partOfText(text)).toBeNull();
    expect(
      partOfText('{"nodes": [{"id": "a", "type": "wait"}], "edges": [{"source": "a", "target": "b"}]}'),
    ).toBeNull();
  });
});

describe("the columns of a flow", () => {
  it("put each node right of all nodes before it, in whatever order they are listed", () => {
    const draft = draftWith({ out: {}, in: {}, a: {}, b: {} }, "a b", "in a", "in b", "b out");
    expect(columnsOf(draft)).toEqual([["in"], ["a"], ["b"], ["out"]]);
  });

  it("end where the edges form a cycle", () => {
    expect(columnsOf(draftWith({ a: {}, b: {} }, "a b", "b a")).flat()).toHaveLength(2);
  });
});

describe("the tree of a graph", () => {
  it("has each node once, below its first predecessor", () => {
    const draft = draftWith({ out: {}, in: {}, a: {}, b: {} }, "in a", "in b", "a out", "b out");
    expect(rowsOf(draft).map(({ node, level, before }) => [node.id, level, before])).toEqual([
      ["in", 1, []],
      ["a", 2, ["in"]],
      ["out", 3, ["a", "b"]],
      ["b", 2, ["in"]],
    ]);
  });

  it("has the nodes of a cycle, too", () => {
    expect(rowsOf(draftWith({ a: {}, b: {} }, "a b", "b a"))).toHaveLength(2);
  });
});

describe("undo", () => {
  it("takes back what was typed in one go at once", () => {
    const drafts = new DraftStore(chain);
    for (const name of ["F", "Fl", "Flo"]) drafts.edit({ ...drafts.draft, name }, "name");
    drafts.edit(remove(drafts.draft, new Set(["a"]), new Set()));
    drafts.undo();
    expect(drafts.draft).toMatchObject({ name: "Flo", nodes: chain.nodes });
    drafts.undo();
    expect(drafts.draft).toBe(chain);
    drafts.redo();
    expect(drafts.draft.name).toBe("Flo");
  });

  it("does not take back what another editor has changed", () => {
    const drafts = new DraftStore(chain);
    drafts.edit({ ...chain, name: "Mine" });
    const theirs = draftWith(
      { in: { type: "api_input" }, a: { name: "Theirs" }, out: { type: "api_output" } },
      "in a",
      "a out",
    );
    drafts.rebase({ ...theirs, name: "Mine" }, chain, theirs);
    drafts.undo();
    expect(drafts.draft).toEqual(theirs);
  });
});
