import { create } from "zustand";
import { api } from "../client";
import type { LiveItem } from "./state";

/** A call of a watched deployment. */
export interface WatchedCall {
  id: string;
  deployment_id: string;
  at: string;
  status: number;
  code: string | null;
  /** Why it was refused. */
  hint: string | null;
  client: string;
  address: string;
  key_mask: string | null;
  server_timing: string;
}

const WATCH_SECONDS = 600;
const KEPT = 20;

interface Watches {
  /** By deployment: until when the gateway reports its calls. */
  until: Record<string, number>;
  /** By deployment: its last calls, newest first. */
  calls: Record<string, WatchedCall[]>;
}

export const useWatches = create<Watches>(() => ({ until: {}, calls: {} }));

/** Have the next calls of a deployment reported for ten minutes. */
export async function watchCalls(deploymentId: string): Promise<void> {
  const params = { path: { deployment_id: deploymentId } };
  await api.POST("/node/deployments/{deployment_id}/watch/", { params, body: { seconds: WATCH_SECONDS } });
  const { until } = useWatches.getState();
  useWatches.setState({ until: { ...until, [deploymentId]: Date.now() + WATCH_SECONDS * 1000 } });
}

/** Keep the calls among these changes; one that is known already is not added again. */
export function addCalls(items: readonly LiveItem[]): void {
  for (const item of items) {
    if (item.topic !== "calls" || item.id === null) continue;
    const call = item as unknown as WatchedCall;
    const { calls } = useWatches.getState();
    const known = calls[call.deployment_id] ?? [];
    if (known.some(({ id, at }) => id === call.id && at === call.at)) continue;
    useWatches.setState({ calls: { ...calls, [call.deployment_id]: [call, ...known].slice(0, KEPT) } });
  }
}
