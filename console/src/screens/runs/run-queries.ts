import {
  keepPreviousData,
  type QueryFilters,
  useInfiniteQuery,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { useMemo } from "react";
import { api } from "../../api/client";
import { usePolling } from "../../api/polling";
import type { components } from "../../api/schema";
import { isObject, type Json, type JsonObject, parseJson } from "../../formats/lossless-json";
import {
  countNewer,
  itemsOf,
  merged,
  type PageStart,
  type RunPage,
  type RunPages,
  unfinishedPages,
  withNewer,
} from "./run-pages";
import type { RunSearch } from "./run-search";

export type Span = components["schemas"]["SpanOut"];
export type Timeline = components["schemas"]["TimelineOut"];

const PAGE_SIZE = 50;
const SPANS = 5000;
/** The stream tells what changes: this is for what it may have missed. */
const POLL_MILLISECONDS = 60_000;
const RUNS = "/node/flow-runs/";

/**
 * The keys of all queries of runs.
 *
 * Those that begin with `get` follow the stream of changes. The pages of a list do not: new runs would move the rows.
 */
export const runKeys = {
  lists: ["runs"] as const,
  list: (search: RunSearch) => ["runs", RUNS, search] as const,
  head: (search: RunSearch) => ["get", RUNS, { head: search }] as const,
  older: (search: RunSearch, starts: readonly PageStart[]) =>
    ["get", RUNS, { older: search, starts }] as const,
  run: (id: string) => ["get", `${RUNS}{run_id}/`, { params: { path: { run_id: id } } }] as const,
  timeline: (id: string) =>
    ["get", `${RUNS}{run_id}/timeline/`, { params: { path: { run_id: id } } }] as const,
};

/** All queries of runs. */
export const runQueries: QueryFilters = {
  predicate: ({ queryKey: [, path] }) => String(path).startsWith(RUNS),
};

async function loadPage(search: RunSearch, start: Partial<PageStart> = {}): Promise<RunPage> {
  const query = { ...search, limit: PAGE_SIZE, ...start };
  const { data } = await api.GET("/node/flow-runs/", { params: { query } });
  return present(data);
}

/**
 * The runs that match, by pages, and how many newer ones there are.
 *
 * The newest page is read again when runs change: it says which runs are new, which are not put into the list by
 * themselves, and has the present state of those that are in it. So are the pages of older runs that have not ended.
 */
export function useRuns(search: RunSearch) {
  const queries = useQueryClient();
  const polling = usePolling(POLL_MILLISECONDS);
  const list = useInfiniteQuery({
    queryKey: runKeys.list(search),
    queryFn: ({ pageParam }) => loadPage(search, pageParam === null ? {} : { cursor: pageParam }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY, // the newest page says what has changed
  });
  const head = useQuery({
    queryKey: runKeys.head(search),
    queryFn: () => loadPage(search),
    enabled: list.isSuccess && !list.isPlaceholderData,
    refetchInterval: polling,
  });
  const starts = useMemo(
    () => (list.data && head.data ? unfinishedPages(list.data, head.data.items) : []),
    [list.data, head.data],
  );
  useQuery({
    queryKey: runKeys.older(search, starts),
    queryFn: async () => {
      const again = (await Promise.all(starts.map((start) => loadPage(search, start)))).flatMap(itemsOf);
      queries.setQueryData<RunPages>(runKeys.list(search), (list) => list && withNewer(list, again));
      return null;
    },
    enabled: starts.length > 0 && !list.isPlaceholderData,
    refetchInterval: polling,
  });
  const runs = useMemo(
    () => merged(list.data?.pages.flatMap(itemsOf) ?? [], head.data?.items ?? []),
    [list.data, head.data],
  );
  const newer = countNewer(runs, head.data?.items ?? []);
  const lastPage = list.data?.pages.at(-1);
  const showNewer = () => {
    queries.removeQueries({ queryKey: runKeys.head(search) });
    return queries.resetQueries({ queryKey: runKeys.list(search) });
  };
  return { list, runs, newer, showNewer, lastPageWasEmpty: lastPage?.items.length === 0 };
}

export type RunList = ReturnType<typeof useRuns>;

/** The values of a run, whose numbers are exact. */
export interface RunDocument {
  facts: components["schemas"]["RunOut"];
  input: Json;
  output: Json;
  nodes: JsonObject;
  /** All of it, as the gateway sent it. */
  whole: JsonObject;
}

export function useRun(id: string) {
  return useQuery({ queryKey: runKeys.run(id), queryFn: () => loadRun(id) });
}

/** Ask the gateway for a run, with its values. */
export async function loadRun(id: string): Promise<RunDocument> {
  const query = { response_format: "flat", include_input_data: true } as const;
  const params = { path: { run_id: id }, query };
  const { data } = await api.GET("/node/flow-runs/{run_id}/", { params, parseAs: "text" });
  const body = parseJson(present(data));
  if (!isObject(body)) throw new Error("an answer that is no object");
  const { data: _, ...whole } = body; // the same members once more
  const nodes = whole["node_outputs"];
  return {
    facts: whole as unknown as RunDocument["facts"],
    input: whole["input_data"] ?? null,
    output: whole["output_data"] ?? null,
    nodes: isObject(nodes) ? nodes : {},
    whole,
  };
}

export function useTimeline(id: string) {
  return useInfiniteQuery({
    queryKey: runKeys.timeline(id),
    queryFn: async ({ pageParam }) => {
      const query = { limit: SPANS, ...(pageParam ? { cursor: pageParam } : {}) };
      const path = { run_id: id };
      const { data } = await api.GET("/node/flow-runs/{run_id}/timeline/", { params: { path, query } });
      return present(data);
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
  });
}

function present<Body>(body: Body | undefined): Body {
  if (body === undefined) throw new Error("an answer without a body");
  return body;
}
