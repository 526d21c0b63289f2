import type { paths } from "../../api/schema";
import type { RunSearch } from "./run-search";

type Step = NonNullable<NonNullable<paths["/node/usage/"]["get"]["parameters"]["query"]>["step"]>;

export interface RunCountsQuery {
  from: string;
  /** Absent: the present time, whenever it is asked. */
  to?: string;
  step: Exclude<Step, "none">;
}

/** Calls and runs of a step of time. */
export interface RunCount {
  /** Milliseconds since 1970. */
  from: number;
  to: number;
  all: number;
  failed: number;
}

export const LENGTHS: Record<RunCountsQuery["step"], number> = {
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
};
const LONGEST_BY_MINUTE = 2 * LENGTHS.hour;
/** Minutes are kept for two days. */
const LONGEST_BY_HOUR = 47 * LENGTHS.hour;
const LONGEST = 90 * LENGTHS.day;

/** Return what to ask for the times that runs are filtered by: without any the last day, at most 90 days. */
export function countsQuery({ from, to }: Pick<RunSearch, "from" | "to">, now: number): RunCountsQuery {
  const isOpen = to === undefined || Date.parse(to) >= now;
  const end = isOpen ? now : Date.parse(to);
  const asked = from === undefined ? end - LENGTHS.day : Math.max(Date.parse(from), end - LONGEST);
  const begin = Math.min(asked, end - LENGTHS.minute);
  const step = begin < now - LONGEST_BY_HOUR ? "day" : end - begin <= LONGEST_BY_MINUTE ? "minute" : "hour";
  return {
    from: new Date(begin).toISOString(),
    ...(isOpen ? {} : { to: new Date(end).toISOString() }),
    step,
  };
}

interface Counted {
  from: string;
  to: string;
  items: readonly { from: string; calls: number; errors: number; runs: number; run_errors: number }[];
}

/**
 * Return all steps of an answer, also those without a call.
 *
 * A call and the run that it started are one. There are more calls than runs in mode fast, and more runs in batches.
 */
export function runCounts({ from, to, items }: Counted, step: RunCountsQuery["step"]): RunCount[] {
  const begin = Date.parse(from);
  const length = LENGTHS[step];
  const steps = Math.max(1, Math.ceil((Date.parse(to) - begin) / length));
  const counts = Array.from({ length: steps }, (_, at) => ({
    from: begin + at * length,
    to: begin + (at + 1) * length,
    all: 0,
    failed: 0,
  }));
  for (const item of items) {
    // A day whose minutes are no longer kept may begin earlier.
    const at = Math.max(0, Math.floor((Date.parse(item.from) - begin) / length));
    const count = counts[at];
    if (!count) continue;
    count.all += Math.max(item.calls, item.runs);
    count.failed += Math.max(item.errors, item.run_errors);
  }
  return counts;
}
