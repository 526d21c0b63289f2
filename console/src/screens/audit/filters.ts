import type { components } from "../../api/schema";

type Kind = components["schemas"]["AuditTarget"];

export const KINDS: readonly Kind[] = [
  "address",
  "api_key",
  "audit_log",
  "deployment",
  "deployment_version",
  "flow",
  "host",
  "inference_server",
  "model",
  "run",
  "session",
  "user",
  "webhook",
];

export interface AuditFilters {
  action?: string;
  subject_kind?: Kind;
  /** Of the object that was changed. */
  subject_id?: string;
  /** Days, as `2026-11-26`; events of `to` are left out. */
  from?: string;
  to?: string;
  everyone?: true;
}

const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Return the filters in the search of an address; what is none of them is left out. */
export function auditFilters(search: Record<string, unknown>): AuditFilters {
  const { action, from, to, subject_id: subject } = search;
  const kind = KINDS.find((one) => one === search["subject_kind"]);
  return {
    ...(typeof action === "string" && action ? { action } : {}),
    ...(kind ? { subject_kind: kind } : {}),
    ...(typeof subject === "string" && subject ? { subject_id: subject } : {}),
    ...(isDay(from) ? { from } : {}),
    ...(isDay(to) ? { to } : {}),
    ...(search["everyone"] === true ? { everyone: true as const } : {}),
  };
}

/** Return the query of the request: days begin at midnight, UTC. */
export function auditQuery({ from, to, ...others }: AuditFilters) {
  return {
    ...others,
    ...(from ? { from: `${from}T00:00:00Z` } : {}),
    ...(to ? { to: `${to}T00:00:00Z` } : {}),
  };
}

function isDay(value: unknown): value is string {
  return typeof value === "string" && DAY.test(value) && !Number.isNaN(Date.parse(value));
}
