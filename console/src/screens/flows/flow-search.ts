/** The orders of the list of flows. */
export const FLOW_SORTS = ["updated", "created", "name"] as const;
export type FlowSort = (typeof FLOW_SORTS)[number];

/** The filters of the list of flows, from its address. */
export function readFlowSearch(search: Record<string, unknown>): { q?: string; sort?: FlowSort } {
  const sort = FLOW_SORTS.find((one) => one === search["sort"]);
  return {
    ...(typeof search["q"] === "string" && search["q"] ? { q: search["q"] } : {}),
    ...(sort ? { sort } : {}),
  };
}
