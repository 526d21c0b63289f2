import { duration } from "../../formats/formats";
import { runTexts } from "../../strings/runs";
import type { Span, Timeline } from "./run-queries";

const FAILED: ReadonlySet<string> = new Set(["failed", "throttled", "blocked", "gone", "aborted"]);

export interface PlacedSpan {
  span: Span;
  /** Seconds after the run was created; null: that is not known. */
  offset: number | null;
  /** Null: it goes on, or that is not known. */
  seconds: number | null;
  /** Where its bar begins, and how long it is: parts of the whole. */
  bar: { start: number; length: number } | null;
}

/** Whether something failed in the span; that a node failed is not also a failure of the end of the run. */
export function isFailure({ status, kind, node_id }: Span): boolean {
  return FAILED.has(status) && !(kind === "finish" && node_id !== null);
}

/** Return a duration; what is shorter than the database's clock can tell has no figures. */
export function spanTime(seconds: number): string {
  return seconds === 0 ? runTexts.runs.timeline.shortest : duration(seconds);
}

/** Return where each span lies within the whole time from the run's creation to the last end. */
export function placed(
  timeline: Pick<Timeline, "created_at" | "finished_at" | "spans">,
  now: number,
): PlacedSpan[] {
  const begin = Date.parse(timeline.created_at);
  let end = timeline.finished_at ? Date.parse(timeline.finished_at) : now;
  for (const { started_at, ended_at } of timeline.spans) {
    const last = ended_at ?? started_at;
    if (last !== null) end = Math.max(end, Date.parse(last));
  }
  const whole = Math.max(end - begin, 0.001);
  return timeline.spans.map((span) => {
    if (span.started_at === null) return { span, offset: null, seconds: knownSeconds(span), bar: null };
    const from = Math.max(begin, Date.parse(span.started_at));
    const to = span.ended_at === null ? end : Date.parse(span.ended_at);
    const start = Math.min((from - begin) / whole, 1);
    const length = Math.min(Math.max((to - from) / whole, 0), 1 - start);
    const seconds = span.ended_at === null ? null : (knownSeconds(span) ?? (to - from) / 1000);
    return { span, offset: (from - begin) / 1000, seconds, bar: { start, length } };
  });
}

/** The engine's own duration: times of the database are less exact. */
function knownSeconds({ detail }: Span): number | null {
  const seconds = detail["duration_seconds"];
  return typeof seconds === "number" ? seconds : null;
}

/** Return the next failure after the span, or the one before it; beyond the end it begins again. */
export function otherFailure(spans: readonly Span[], id: string | null, step: 1 | -1): Span | undefined {
  const at = spans.findIndex((span) => span.id === id);
  const begin = at < 0 && step === -1 ? spans.length : at;
  for (let moved = 1; moved <= spans.length; moved += 1) {
    const span = spans[(begin + step * moved + spans.length * 2) % spans.length];
    if (span && isFailure(span)) return span;
  }
  return undefined;
}
