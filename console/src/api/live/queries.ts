import type { Query, QueryKey } from "@tanstack/react-query";
import { queryClient } from "../query-client";
import type { LiveItem, Topic } from "./state";

interface LiveResource {
  /** The path of the list; paths of one resource begin with it. */
  list: string;
  /** The parameter with a resource's id in those paths. */
  id: string;
  /** Paths whose answers have something of these resources in them, whichever has changed. */
  others?: readonly string[];
}

const DEPLOYMENTS = "/node/deployments/";
const ENDPOINTS = "/node/webhooks/endpoints/";
const FLOWS = "/node/flows/";
const MODELS = "/node/models/";

/**
 * Which queries a topic brings up to date: a list by its path, and everything about one resource by its id.
 *
 * A screen whose queries have these paths is live without a line of its own. Query keys are those of `hooks`,
 * `["get", path, init]`, and of `useList`, `["list", path]`, whose path has the id itself.
 */
const LIVE_RESOURCES: Partial<Record<Topic, LiveResource>> = {
  flows: { list: FLOWS, id: "flow_id", others: [`${DEPLOYMENTS}{deployment_id}/diff/`] },
  deployments: {
    list: DEPLOYMENTS,
    id: "deployment_id",
    others: [FLOWS, ENDPOINTS, `${ENDPOINTS}{deployment_id}/`],
  },
  models: { list: MODELS, id: "name" },
  servers: {
    list: "/node/inference-servers/",
    id: "server_id",
    others: [DEPLOYMENTS, `${DEPLOYMENTS}{deployment_id}/`, MODELS],
  },
  keys: { list: "/node/api-keys/", id: "key_id" },
  rehearsals: { list: `${DEPLOYMENTS}{deployment_id}/rehearsals/`, id: "deployment_id" },
  runs: { list: "/node/flow-runs/", id: "run_id", others: [FLOWS] },
  deliveries: { list: "/node/webhooks/deliveries/", id: "delivery_id", others: [ENDPOINTS] },
};

/** Read again what is shown of changed resources, until it is there; what is not shown is read when it is. */
export function refreshItems(items: readonly LiveItem[]): Promise<void> {
  return refresh(({ queryKey }) => items.some((item) => concerns(queryKey, item)));
}

/** Read again all that is shown and live, until it is there. */
export function refreshAll(): Promise<void> {
  const topics = Object.keys(LIVE_RESOURCES) as Topic[];
  return refresh(({ queryKey }) => topics.some((topic) => concerns(queryKey, { topic, id: null })));
}

/** Whether a query's answer may differ after a change. */
export function concerns(key: QueryKey, { topic, id }: LiveItem): boolean {
  const resource = LIVE_RESOURCES[topic];
  const [kind, wholePath, init] = key;
  if (!resource || typeof wholePath !== "string" || (kind !== "get" && kind !== "list")) return false;
  const path = wholePath.split("?")[0] ?? "";
  if (path === resource.list || resource.others?.includes(path)) return true;
  if (!path.startsWith(resource.list)) return false;
  const named =
    kind === "list"
      ? path.slice(resource.list.length).split("/")[0]
      : (init as Init | undefined)?.params?.path?.[resource.id];
  return named !== undefined && (id === null || named === id);
}

interface Init {
  params?: { path?: Record<string, unknown> };
}

function refresh(predicate: (query: Query) => boolean): Promise<void> {
  const queries = queryClient.getQueryCache();
  // An answer that is on its way may be older than the change. It is not cancelled: a list that takes longer than
  // the time between two changes would never be there.
  for (const { promise, queryKey } of queries.findAll({ predicate, fetchStatus: "fetching" })) {
    const again = () => queryClient.invalidateQueries({ queryKey, exact: true }, { cancelRefetch: false });
    promise?.then(again, again);
  }
  return queryClient.invalidateQueries({ predicate }, { cancelRefetch: false });
}
