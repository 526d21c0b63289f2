import type { Position } from "../flows/flow-nodes";
import type { Draft } from "./draft";
import { positionsOf, STEP } from "./layout";

/** About what a node takes on the canvas, in pixels. */
const WIDTH = 200;

/** Return where each node is drawn: at its own place, or all in columns where one covers another. */
export function placesOf(graph: Draft): Map<string, Position> {
  const places = positionsOf(graph);
  const all = [...places.values()];
  const isCovered = all.some((one, at) =>
    all
      .slice(at + 1)
      .some((other) => Math.abs(one.x - other.x) < WIDTH && Math.abs(one.y - other.y) < STEP.y / 2),
  );
  if (!isCovered) return places;
  return positionsOf({ ...graph, nodes: graph.nodes.map(({ position: _, ...node }) => node) });
}
