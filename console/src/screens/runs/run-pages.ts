import type { InfiniteData } from "@tanstack/react-query";
import type { components } from "../../api/schema";

export type RunSummary = components["schemas"]["RunSummary"];
export type RunPage = components["schemas"]["RunPage"];
export type RunPages = InfiniteData<RunPage>;

/** Where a page of a list begins. */
export type PageStart = { cursor: string } | { to: string };

/** How many pages of older runs are read again: a page may be shown while thousands of runs wait. */
const OLDER_PAGES = 4;

/** Return the runs in their order, with the newer state of those that were read again. */
export function merged(runs: readonly RunSummary[], again: readonly RunSummary[]): RunSummary[] {
  const fresh = new Map(again.map((run) => [run.flow_run_id, run]));
  return runs.map((run) => fresh.get(run.flow_run_id) ?? run);
}

/** Return the pages with the newer state of the runs that were read again. */
export function withNewer(list: RunPages, again: readonly RunSummary[]): RunPages {
  return { ...list, pages: list.pages.map((page) => ({ ...page, items: merged(page.items, again) })) };
}

export function itemsOf(page: RunPage): readonly RunSummary[] {
  return page.items;
}

/** Return where the newest pages begin that have unfinished runs which the head does not have. */
export function unfinishedPages({ pages, pageParams }: RunPages, head: readonly RunSummary[]): PageStart[] {
  const known = new Set(head.map((run) => run.flow_run_id));
  const starts = pages.flatMap(({ items }, at): PageStart[] => {
    if (!items.some((run) => run.finished_at === null && !known.has(run.flow_run_id))) return [];
    const cursor = pageParams[at];
    return [typeof cursor === "string" ? { cursor } : { to: justAfter(items[0]?.created_at ?? "") }];
  });
  return starts.slice(0, OLDER_PAGES);
}

/** Return the next millisecond after a time, which has microseconds. */
function justAfter(iso: string): string {
  return new Date(Date.parse(iso) + 1).toISOString();
}

/** Return how many runs of the head are newer than the list. */
export function countNewer(runs: readonly RunSummary[], head: readonly RunSummary[]): number {
  const first = runs[0];
  if (!first) return head.length;
  return head.filter((run) => run.created_at > first.created_at && run.flow_run_id !== first.flow_run_id)
    .length;
}
