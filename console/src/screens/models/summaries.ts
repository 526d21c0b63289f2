import { type QueryKey, useQuery } from "@tanstack/react-query";
import { api } from "../../api/client";
import { usePolling } from "../../api/polling";
import type { components } from "../../api/schema";

export type ModelSummary = components["schemas"]["ModelSummaryOut"];
type Page = components["schemas"]["ModelSummaryPage"];

const CHANGING_MILLISECONDS = 1000;
const SETTLED_MILLISECONDS = 10_000;

/** A page of models with what belongs to each. */
export async function loadSummaries(query: { limit: number; cursor?: string; q?: string }): Promise<Page> {
  const { data } = await api.GET("/node/models/", { params: { query: { ...query, view: "summary" } } });
  if (!data) throw new Error("an answer without a body");
  return data as Page; // of the view that was asked for
}

/** How soon to ask again: soon while a server boots or ends. */
export function pause(models: readonly ModelSummary[] | undefined): number {
  const isChanging = models?.some(({ serving }) => serving.some(isServerChanging));
  return isChanging ? CHANGING_MILLISECONDS : SETTLED_MILLISECONDS;
}

/** Whether a server is on its way to another state; one that failed or does not answer may stay so. */
export function isServerChanging({ desired, state }: { desired: string; state: string }): boolean {
  if (state === "failed" || state === "unresponsive") return false;
  return state !== (desired === "running" ? "ready" : "stopped");
}

/** One model with what belongs to it; null: there is none of this name. */
export function useModelSummary(name: string) {
  return useQuery({
    queryKey: summaryKey(name),
    queryFn: async () => (await find(name)) ?? null,
    refetchInterval: usePolling<ModelSummary | null>((model) => pause(model ? [model] : undefined)),
  });
}

/** The key of a query that follows the changes of models and servers. */
export function summaryKey(name: string): QueryKey {
  return ["get", "/node/models/", { summaryOf: name }];
}

/** Names that contain this one may stand before it. */
async function find(name: string, cursor?: string): Promise<ModelSummary | undefined> {
  const page = await loadSummaries({ limit: 50, q: name, ...(cursor ? { cursor } : {}) });
  const found = page.items.find((model) => model.name === name);
  if (found || !page.next_cursor) return found;
  return find(name, page.next_cursor);
}
