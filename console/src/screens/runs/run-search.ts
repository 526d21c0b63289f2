/** The filters of a list of runs, as the URL has them. */
export interface RunSearch {
  deployment?: string;
  flow?: string;
  status?: RunStatus;
  version?: number;
  key?: string;
  code?: string;
  mode?: RunMode;
  min_seconds?: number;
  /** Only tests of drafts, or none. */
  test?: boolean;
  /** ISO times. */
  from?: string;
  to?: string;
}

export const RUN_STATUSES = ["queued", "running", "completed", "failed", "cancelled"] as const;
export const RUN_MODES = ["sync", "async", "fast"] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];
type RunMode = (typeof RUN_MODES)[number];

/** Return the filters of a URL; what is no value of a filter is left out. */
export function readRunSearch(search: Record<string, unknown>): RunSearch {
  return present({
    deployment: text(search["deployment"]),
    flow: text(search["flow"]),
    status: RUN_STATUSES.find((one) => one === search["status"]),
    version: number(search["version"], (value) => Number.isSafeInteger(value) && value >= 1),
    key: text(search["key"]),
    code: text(search["code"]),
    mode: RUN_MODES.find((one) => one === search["mode"]),
    min_seconds: number(search["min_seconds"], (value) => value >= 0),
    test: typeof search["test"] === "boolean" ? search["test"] : undefined,
    from: time(search["from"]),
    to: time(search["to"]),
  });
}

/** Return the filters with another value of one of them; undefined removes it. */
export function changed<Name extends keyof RunSearch>(
  search: RunSearch,
  name: Name,
  value: RunSearch[Name] | undefined,
): RunSearch {
  return present({ ...search, [name]: value });
}

type Values = { [Name in keyof RunSearch]-?: RunSearch[Name] | undefined };

function present(values: Partial<Values>): RunSearch {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && value !== ""),
  ) as RunSearch;
}

function text(value: unknown): string | undefined {
  // The router reads what looks like a number as one.
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : undefined;
}

function number(value: unknown, isValid: (value: number) => boolean): number | undefined {
  return typeof value === "number" && isValid(value) ? value : undefined;
}

function time(value: unknown): string | undefined {
  return typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : undefined;
}
