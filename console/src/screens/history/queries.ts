import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, hooks } from "../../api/client";
import type { Tagged } from "../../api/etag";
import type { components } from "../../api/schema";
import { useSession } from "../../api/session";
import { parseJson } from "../../formats/lossless-json";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { flowTexts } from "../../strings/flows";
import { errorMessage } from "../../ui/notice";
import { toast } from "../../ui/toast";
import { type ExactFlow, flowOf, loadExactFlow, replaceExactFlow } from "../flows/exact-flow";

export type Revision = components["schemas"]["FlowRevisionSummary"];

const FLOW = "/node/flows/{flow_id}/";
const REVISION = "/node/flows/{flow_id}/revisions/{number}/";
const VERSION = "/node/deployments/{deployment_id}/versions/{number}/";
/** More than the gateway keeps of a flow. */
const ALL = 200;

/** The revisions of a flow, newest first: the first one is the present draft. */
export function useRevisions(flowId: string) {
  return hooks.useQuery("get", "/node/flows/{flow_id}/revisions/", {
    params: { path: { flow_id: flowId }, query: { limit: ALL } },
  });
}

/** The present draft, with the entity tag that a restore needs. */
export function usePresent(flowId: string) {
  return useQuery({
    queryKey: ["get", FLOW, { params: { path: { flow_id: flowId } } }, "exact"],
    queryFn: () => loadExactFlow(flowId),
  });
}

/** The flow as it was in a revision, if it is asked for; one whose number and time are the same stays the same. */
export function useRevision(flowId: string, revision: Revision | undefined, { enabled = true } = {}) {
  const params = { path: { flow_id: flowId, number: revision?.number ?? 0 } };
  return useQuery({
    queryKey: ["revision", flowId, revision?.number, revision?.saved_at],
    queryFn: async () => {
      const { data } = await api.GET(REVISION, { params, parseAs: "text" });
      const { flow_name: name } = parseJson(data ?? "") as unknown as { flow_name: string };
      return { ...flowOf(data ?? ""), name };
    },
    enabled: enabled && revision !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** The graph of a deployment's version, with the name that the flow has now. */
export function useVersionGraph(deployment: { id: string; version: number } | undefined, name: string) {
  const params = { path: { deployment_id: deployment?.id ?? "", number: deployment?.version ?? 0 } };
  return useQuery({
    queryKey: ["version-graph", params, name],
    queryFn: async (): Promise<ExactFlow> => {
      const { data } = await api.GET(VERSION, { params, parseAs: "text" });
      return { ...flowOf(data ?? ""), name };
    },
    enabled: deployment !== undefined,
  });
}

interface Restore {
  flow: ExactFlow;
  /** What the user has compared it with. */
  present: Tagged<ExactFlow>;
  done: string;
}

/** Makes a state of a flow its draft, unless others have changed the draft meanwhile; a toast undoes it. */
export function useRestore(flowId: string) {
  const queries = useQueryClient();
  const reload = () => queries.invalidateQueries({ predicate: ({ queryKey: [, path] }) => isOfFlows(path) });
  const undo = useMutation({
    networkMode: "always", // its button shows nothing of a change that waits
    mutationFn: ({ present, etag }: { present: ExactFlow; etag: string }) =>
      replaceExactFlow(flowId, present, etag),
    onSuccess: async () => {
      await reload();
      toast(flowTexts.history.undone);
    },
    onError: (error) => toast(errorMessage(error)),
  });
  return useMutation({
    mutationFn: ({ flow, present }: Restore) => replaceExactFlow(flowId, flow, present.etag),
    onSuccess: async (etag, { present, done }) => {
      toast(done, {
        label: t.common.undo,
        onPress: () => undo.mutate({ present: present.value, etag }),
      });
      await reload();
    },
    onError: reload,
  });
}

function isOfFlows(path: unknown): boolean {
  return typeof path === "string" && path.startsWith("/node/flows/");
}

/** Who saved a revision: the user, or a program by its key. */
export function authorOf({ created_by, created_by_key }: Revision): string {
  if (created_by_key)
    return deploymentTexts.versions.key(`${created_by_key.slice(0, 4)}…${created_by_key.slice(-4)}`);
  if (created_by === null) return t.common.unknown;
  return created_by === useSession.getState().session?.user.id ? deploymentTexts.versions.you : created_by;
}
