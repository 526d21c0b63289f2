import { api, hooks } from "../../api/client";
import { useList } from "../../api/lists";
import { usePolling } from "../../api/polling";
import type { components } from "../../api/schema";

export type Key = components["schemas"]["KeyOut"];

/** What the keys of queries start with. */
export const KEYS = "/node/api-keys/";

const POLL_MILLISECONDS = 5_000;
const SHOWN_DAYS = 30;
const DAY_MILLISECONDS = 86_400_000;

export function useKeys() {
  return useList(KEYS, async (query) => {
    const { data } = await api.GET(KEYS, { params: { query } });
    return data;
  });
}

export function useKey(id: string) {
  return hooks.useQuery(
    "get",
    "/node/api-keys/{key_id}/",
    { params: { path: { key_id: id } } },
    { refetchInterval: usePolling(POLL_MILLISECONDS) },
  );
}

/** Where a key was used from, the last address first. */
export function useKeyAddresses(id: string) {
  return hooks.useQuery(
    "get",
    "/node/api-keys/{key_id}/addresses/",
    { params: { path: { key_id: id } } },
    { refetchInterval: usePolling(POLL_MILLISECONDS) },
  );
}

/** The days of the last month on which a key was used. */
export function useKeyCalls(id: string) {
  const today = Math.floor(Date.now() / DAY_MILLISECONDS);
  const from = new Date((today - SHOWN_DAYS + 1) * DAY_MILLISECONDS).toISOString();
  return hooks.useQuery("get", "/node/usage/", {
    params: { query: { key: id, by: "key", step: "day", from } },
  });
}
