import type { Draft } from "./draft";

/** Which part of a flow a test runs; without a member all of it. */
export interface TestPart {
  /** This node, and those that it needs. */
  until?: string;
  /** This node alone. */
  only?: string;
}

/** Return the nodes that the flow's input leads to, which are those that can run. */
export function reachableNodes({ nodes, edges }: Draft): Set<string> {
  const input = nodes.find(({ type }) => type === "api_input");
  const found = new Set(input ? [input.id] : []);
  for (const id of found) for (const { source, target } of edges) if (source === id) found.add(target);
  return found;
}

/** Return the nodes that a test runs; pinned ones are given, and what only they need does not run. */
export function plannedNodes(draft: Draft, part: TestPart, pins: ReadonlyMap<string, unknown>): Set<string> {
  const reachable = reachableNodes(draft);
  if (part.only !== undefined) return new Set([part.only]);
  const edges = draft.edges.filter(({ source, target }) => reachable.has(source) && reachable.has(target));
  const sources = new Set(edges.map(({ source }) => source));
  const ends = [...reachable].filter((id) => !sources.has(id));
  const found = new Set(part.until === undefined ? ends : [part.until]);
  for (const id of found) {
    if (pins.has(id)) continue;
    for (const { source, target } of edges) if (target === id) found.add(source);
  }
  return new Set([...found].filter((id) => !pins.has(id)));
}

/** Return those of the planned nodes that nothing keeps from running now: what leads to them has ended. */
export function runningNodes(
  draft: Draft,
  planned: ReadonlySet<string>,
  hasEnded: (id: string) => boolean,
): Set<string> {
  const waiting = new Set<string>();
  for (const { source, target } of draft.edges)
    if (planned.has(source) && !hasEnded(source)) waiting.add(target);
  return new Set([...planned].filter((id) => !waiting.has(id) && !hasEnded(id)));
}
