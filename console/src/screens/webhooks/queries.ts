import { api, hooks } from "../../api/client";
import { useList } from "../../api/lists";
import { usePolling } from "../../api/polling";
import type { components } from "../../api/schema";
import type { DeliveryFilters } from "./filters";

export type Delivery = components["schemas"]["DeliverySummary"];
export type DeliveryWithAttempts = components["schemas"]["DeliveryOut"];
export type Attempt = components["schemas"]["AttemptOut"];
export type Endpoint = components["schemas"]["EndpointOut"];

/** Whether nothing is sent at present: the receiver throttles, or keeps failing. */
export function isPaused(endpoint: Endpoint): endpoint is Endpoint & { paused_until: string } {
  return endpoint.paused_until !== null && new Date(endpoint.paused_until) > new Date();
}

/** What the keys of queries start with. */
export const WEBHOOKS = "/node/webhooks/";
const DELIVERIES = "/node/webhooks/deliveries/";
const ENDPOINTS = "/node/webhooks/endpoints/";

const POLL_MILLISECONDS = 3_000;

export function useDeliveries(filters: DeliveryFilters) {
  const query = new URLSearchParams({ ...filters }).toString();
  return useList(
    `${DELIVERIES}?${query}`,
    async (page) => {
      const { data } = await api.GET("/node/webhooks/deliveries/", {
        params: { query: { ...page, ...filters } },
      });
      return data;
    },
    { isFiltered: true },
  );
}

/** A delivery, loaded again and again while it is on its way. */
export function useDelivery(id: string) {
  const polling = usePolling<DeliveryWithAttempts>((known) =>
    known?.status === "pending" ? POLL_MILLISECONDS : false,
  );
  return hooks.useQuery(
    "get",
    "/node/webhooks/deliveries/{delivery_id}/",
    { params: { path: { delivery_id: id } } },
    { refetchInterval: polling },
  );
}

export function useEndpoints() {
  return useList(ENDPOINTS, async (query) => {
    const { data } = await api.GET("/node/webhooks/endpoints/", { params: { query } });
    return data;
  });
}
