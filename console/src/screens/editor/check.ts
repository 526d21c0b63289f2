import { keepPreviousData, type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useStore } from "zustand";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { t } from "../../strings";
import { errorMessage } from "../../ui/notice";
import { useDebounced } from "../../ui/use-debounced";
import type { FlowNode } from "../flows/flow-nodes";
import type { Draft } from "./draft";
import type { EditorSession } from "./editor-session";

export type Problem = components["schemas"]["ProblemOut"];

export interface Check {
  /** Of the last draft that was checked. */
  problems: readonly Problem[];
  /** Of the flow's input, its own or that of its models; null: it is not known. */
  inputSchema: Record<string, unknown> | null;
  isChecking: boolean;
  /** Why the draft as it is now was not checked; null: it was, or is about to be. */
  unchecked: string | null;
}

const CHECK_AFTER_MILLISECONDS = 500;
const NO_PROBLEMS: readonly Problem[] = [];

/** Ask the gateway for the problems of the draft, some time after its last change. */
export function useCheck({ drafts, flowId }: EditorSession): Check {
  const draft = useStore(drafts.store, (state) => state.draft);
  const graph = useMemo(() => withoutPositions(draft), [draft]);
  const settled = useDebounced(graph, CHECK_AFTER_MILLISECONDS);
  const check = useQuery({
    queryKey: ["flow-check", flowId, settled],
    queryFn: async ({ signal }) => {
      const { data } = await api.POST("/node/flows/check/", { body: settled, signal });
      if (!data) throw new Error("an answer without a body");
      return data;
    },
    placeholderData: keepPreviousData,
    staleTime: CHECK_AFTER_MILLISECONDS,
    gcTime: 0,
  });
  const isChecking = check.isFetching || settled !== graph;
  const problems = check.data?.problems ?? NO_PROBLEMS;
  const inputSchema = check.data?.input_schema ?? null;
  const unchecked = reasonOf(check);
  return useMemo(
    () => ({ problems, inputSchema, isChecking, unchecked }),
    [problems, inputSchema, isChecking, unchecked],
  );
}

/** A check that waits for the gateway is paused, and goes on by itself. */
function reasonOf({ error, fetchStatus }: UseQueryResult): string | null {
  if (fetchStatus === "paused") return t.errors.away;
  return error && fetchStatus === "idle" ? errorMessage(error) : null;
}

/** Return what checks and tests depend on: it does not change while nodes are moved. */
export function withoutPositions({ nodes, edges }: Draft) {
  const bare = ({ position: _, ...node }: FlowNode) => node;
  return { nodes: nodes.map(bare), edges: [...edges] };
}
