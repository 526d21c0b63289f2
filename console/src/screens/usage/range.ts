import type { paths } from "../../api/schema";

type Step = NonNullable<NonNullable<paths["/node/usage/heatmap/"]["get"]["parameters"]["query"]>["step"]>;

/** The ranges of usage, each with the step of its charts. Minutes are kept for about two days. */
const RANGES = {
  "1h": { hours: 1, step: "minute" },
  "24h": { hours: 24, step: "hour" },
  "7d": { hours: 7 * 24, step: "day" },
  "30d": { hours: 30 * 24, step: "day" },
} as const satisfies Record<string, { hours: number; step: Step }>;

export type Range = keyof typeof RANGES;
export const RANGE_NAMES = Object.keys(RANGES) as Range[];
export const DEFAULT_RANGE: Range = "24h";

export function rangeOf(value: unknown): Range | undefined {
  return RANGE_NAMES.find((name) => name === value);
}

/** The query of a range that ends now, at whole minutes: the same within one, so that it is asked once. */
export function queryOf(range: Range, now: Date): { from: string; to: string; step: Step } {
  const minute = 60_000;
  const to = new Date(Math.ceil(now.getTime() / minute) * minute);
  const from = new Date(to.getTime() - RANGES[range].hours * 60 * minute);
  return { from: from.toISOString(), to: to.toISOString(), step: RANGES[range].step };
}

interface UsageQuery {
  from: string;
  to: string;
}

/**
 * Return a query's `placeholderData`: those of the minute before stay until those of this one are there.
 *
 * Those of another range, group or deployment do not.
 */
export function ofMinuteBefore(query: UsageQuery) {
  return <Data>(data: Data | undefined, before: { queryKey: readonly unknown[] } | undefined) => {
    const asked = before?.queryKey[2] as { params: { query: UsageQuery } } | undefined;
    return asked && shapeOf(asked.params.query) === shapeOf(query) ? data : undefined;
  };
}

function shapeOf({ from, to, ...rest }: UsageQuery): string {
  return JSON.stringify([Date.parse(to) - Date.parse(from), rest]);
}
