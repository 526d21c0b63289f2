import { describe, expect, it } from "vitest";
import type { Span } from "./run-queries";
import { otherFailure, placed } from "./spans";

function span(id: string, status = "completed", times: Partial<Span> = {}): Span {
  const rest = { name: id, kind: "node", node_id: id, attempt: 1, detail: {} } as const;
  return { id, status, started_at: null, ended_at: null, ...rest, ...times };
}

const AT = (milliseconds: number) => new Date(1_000_000 + milliseconds).toISOString();

describe("spans lie within the whole time", () => {
  it("of an ended run and what follows it", () => {
    const spans = [
      span("queue", "completed", { started_at: AT(0), ended_at: AT(25) }),
      span("webhook", "delivered", { started_at: AT(60), ended_at: AT(100) }),
      span("unknown", "completed", { detail: { duration_seconds: 0.5 } }),
    ];
    const [queue, webhook, unknown] = placed({ created_at: AT(0), finished_at: AT(50), spans }, 0);
    expect(queue?.bar).toEqual({ start: 0, length: 0.25 });
    expect(webhook).toMatchObject({ offset: 0.06, seconds: 0.04, bar: { start: 0.6, length: 0.4 } });
    expect(unknown).toMatchObject({ offset: null, seconds: 0.5, bar: null });
  });

  it("of a run that goes on until now", () => {
    const spans = [span("queue", "queued", { started_at: AT(0) })];
    const [queue] = placed({ created_at: AT(0), finished_at: null, spans }, Date.parse(AT(80)));
    expect(queue).toMatchObject({ seconds: null, bar: { start: 0, length: 1 } });
  });
});

describe("failures are found in both directions", () => {
  const spans = [span("a", "failed"), span("b"), span("c", "throttled"), span("d")];
  it.each([
    [null, 1, "a"],
    [null, -1, "c"],
    ["a", 1, "c"],
    ["c", 1, "a"],
    ["b", -1, "a"],
    ["a", -1, "c"],
  ] as const)("from %s by %i: %s", (from, step, to) => {
    expect(otherFailure(spans, from, step)?.id).toBe(to);
  });

  it("of a node once, although the run failed with it", () => {
    const finish = span("finish", "failed", { kind: "finish", node_id: "a" });
    expect(otherFailure([span("a", "failed"), finish], "a", 1)?.id).toBe("a");
  });

  it("if there are any", () => {
    expect(otherFailure([span("a")], null, 1)).toBeUndefined();
  });
});
