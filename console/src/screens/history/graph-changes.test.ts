import { expect, it } from "vitest";
import { ExactNumber } from "../../formats/lossless-json";
import { graphChanges } from "./graph-changes";

const BEFORE = {
  name: "Ratio",
  nodes: [
    { id: "input", type: "api_input", position: { x: 0, y: 0 } },
    {
      id: "ratio",
      type: "transform",
      config: { expression: "1", limit: new ExactNumber("9007199254740993") },
    },
    { id: "output", type: "api_output" },
  ],
  edges: [
    { source: "input", target: "ratio" },
    { source: "ratio", target: "output", label: "old" },
  ],
};

const said = (after: typeof BEFORE) => graphChanges(BEFORE, after).map(({ text }) => text);

it("says nothing of the same flow, whose members have another order", () => {
  const [input, ratio, output] = structuredClone(BEFORE.nodes);
  const reordered = { type: ratio?.type, config: BEFORE.nodes[1]?.config, id: "ratio" };
  expect(said({ ...BEFORE, nodes: [input, output, reordered] as typeof BEFORE.nodes })).toEqual([]);
});

it("names nodes that were added and removed, without their edges", () => {
  const after = {
    name: "Ratio",
    nodes: [...BEFORE.nodes.slice(0, 2), { id: "model", type: "inference" }],
    edges: [
      { source: "input", target: "ratio" },
      { source: "ratio", target: "model" },
    ],
  };
  expect(said(after as typeof BEFORE)).toEqual(["Added model (inference)", "Removed output (api_output)"]);
});

it("names the members of a node that differ, also a number that JavaScript rounds", () => {
  const nodes = BEFORE.nodes.map((node) =>
    node.id === "ratio"
      ? {
          ...node,
          retry: { attempts: 2 },
          config: { ...node.config, limit: new ExactNumber("9007199254740995") },
        }
      : node,
  );
  expect(said({ ...BEFORE, nodes } as typeof BEFORE)).toEqual(["Changed ratio: config.limit, retry"]);
});

it("names edges, the flow's name, and how many nodes were moved", () => {
  const after = {
    name: "Share",
    nodes: BEFORE.nodes.map((node) => ({ ...node, position: { x: 9, y: 9 } })),
    edges: [
      { source: "input", target: "output" },
      { source: "ratio", target: "output", label: "new" },
    ],
  };
  expect(said(after as typeof BEFORE)).toEqual([
    "Disconnected input → ratio",
    "Changed the edge ratio → output",
    "Connected input → output",
    "Renamed the flow to “Share”",
    "Moved 3 nodes",
  ]);
});
