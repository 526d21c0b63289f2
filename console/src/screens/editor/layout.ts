import type { Position } from "../flows/flow-nodes";
import type { Draft } from "./draft";

/** The distance between two nodes that follow each other, and between two side by side, in pixels. */
export const STEP: Position = { x: 280, y: 130 };

/** Return where each node is: its own position, or else one that is computed from the edges. */
export function positionsOf(draft: Draft): Map<string, Position> {
  const computed = draft.nodes.every((node) => node.position) ? null : inColumns(draft);
  return new Map(
    draft.nodes.map((node) => [node.id, node.position ?? computed?.get(node.id) ?? { x: 0, y: 0 }]),
  );
}

/** Return the nodes in columns: each node is right of all nodes before it. */
export function columnsOf(draft: Draft): string[][] {
  const depth = new Map(draft.nodes.map((node) => [node.id, 0]));
  // A path has fewer edges than there are nodes; a cycle, which the API refuses, ends here.
  let hasChanged = true;
  for (let round = 1; hasChanged && round < draft.nodes.length; round += 1) {
    hasChanged = false;
    for (const { source, target } of draft.edges) {
      const [before, now] = [depth.get(source), depth.get(target)];
      if (before === undefined || now === undefined || now >= Math.min(before + 1, round)) continue;
      depth.set(target, Math.min(before + 1, round));
      hasChanged = true;
    }
  }
  const columns: string[][] = [];
  for (const [id, column] of depth) columns[column] = [...(columns[column] ?? []), id];
  return columns.filter((column) => column !== undefined);
}

/** Return a free place beside another node: right of it, or below what is there. */
export function placeAfter(draft: Draft, id: string | undefined): Position {
  const positions = positionsOf(draft);
  const taken = [...positions.values()];
  const from = (id && positions.get(id)) || rightmost(taken);
  const place = from ? { x: from.x + STEP.x, y: from.y } : { x: 0, y: 0 };
  while (
    taken.some((each) => Math.abs(each.x - place.x) < STEP.x / 2 && Math.abs(each.y - place.y) < STEP.y / 2)
  )
    place.y += STEP.y;
  return place;
}

function rightmost(positions: readonly Position[]): Position | undefined {
  return positions.toSorted((one, other) => other.x - one.x)[0];
}

function inColumns(draft: Draft): Map<string, Position> {
  const columns = columnsOf(draft);
  const tallest = Math.max(...columns.map((column) => column.length), 1);
  const places = columns.flatMap((column, at) =>
    column.map((id, row) => {
      const y = (row + (tallest - column.length) / 2) * STEP.y;
      return [id, { x: at * STEP.x, y }] as const;
    }),
  );
  return new Map(places);
}
