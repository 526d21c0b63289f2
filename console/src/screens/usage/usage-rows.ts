import type { components } from "../../api/schema";

export type UsageItem = components["schemas"]["UsageItem"];

/** What one step of time had, of all groups together. */
export interface UsageStep {
  from: string;
  calls: number;
  errors: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** The median of each stage, by its name. */
  stages: Readonly<Record<string, number>>;
}

/** The stages of a call, in their order: `infer` of mode fast, `queue` and `run` of the others. */
export const STAGES = ["auth", "parse", "queue", "boot", "infer", "run", "serialise"] as const;

/** Return a step for each item of one group. */
export function stepsOf(items: readonly UsageItem[]): UsageStep[] {
  return items.map((item) => ({
    from: item.from,
    calls: item.calls,
    errors: item.errors,
    p50: item.p50_seconds,
    p95: item.p95_seconds,
    p99: item.p99_seconds,
    stages: Object.fromEntries(
      Object.entries(item.stages).flatMap(([stage, { p50_seconds: p50 }]) =>
        p50 === null ? [] : [[stage, p50]],
      ),
    ),
  }));
}

/** Return how often each code came, the most frequent first. */
export function codesOf(items: readonly UsageItem[]): { code: string; errors: number }[] {
  const found = new Map<string, number>();
  for (const item of items)
    for (const [code, errors] of Object.entries(item.errors_by_code))
      found.set(code, (found.get(code) ?? 0) + errors);
  return [...found].map(([code, errors]) => ({ code, errors })).sort((a, b) => b.errors - a.errors);
}

/** Return the item with the largest value; undefined: no item has one. */
export function peakOf<Item>(items: readonly Item[], value: (item: Item) => number | null): Item | undefined {
  return items.reduce<Item | undefined>((peak, item) => {
    const own = value(item);
    if (own === null) return peak;
    return peak === undefined || own > (value(peak) ?? 0) ? item : peak;
  }, undefined);
}

/** Return rows as CSV; a cell that a spreadsheet would run as a formula begins with an apostrophe. */
export function csvOf(
  titles: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
): string {
  const cell = (value: string | number | null) => {
    if (value === null) return "";
    if (typeof value === "number") return String(value);
    const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [titles, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
