import type { components } from "../../api/schema";

type Status = components["schemas"]["DeliveryStatus"];

export const STATUSES: readonly Status[] = [
  "pending",
  "delivered",
  "failed",
  "held",
  "superseded",
  "cancelled",
];
export const EVENTS = [
  "run.started",
  "run.completed",
  "run.failed",
  "run.cancelled",
  "webhook.test",
] as const;

export interface DeliveryFilters {
  status?: Status;
  event?: (typeof EVENTS)[number];
  deployment?: string;
}

/** Return the filters in the search of an address; what is none of them is left out. */
export function deliveryFilters(search: Record<string, unknown>): DeliveryFilters {
  const status = STATUSES.find((one) => one === search["status"]);
  const event = EVENTS.find((one) => one === search["event"]);
  const deployment = search["deployment"];
  return {
    ...(status ? { status } : {}),
    ...(event ? { event } : {}),
    ...(typeof deployment === "string" && deployment ? { deployment } : {}),
  };
}
