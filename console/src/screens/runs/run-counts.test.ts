import { describe, expect, it } from "vitest";
import { countsQuery, runCounts } from "./run-counts";

const NOW = Date.parse("2026-03-10T12:34:56Z");
const ago = (hours: number) => new Date(NOW - hours * 3_600_000).toISOString();

describe("what is asked for a chart of runs", () => {
  it("is the last day by hours where no time is filtered, up to the present", () => {
    expect(countsQuery({}, NOW)).toEqual({ from: ago(24), step: "hour" });
  });

  it.each([
    [ago(2), ago(1), "minute"],
    [ago(3), ago(0.5), "hour"],
    [ago(48), ago(47.5), "day"],
  ])("from %s to %s is %s", (from, to, step) => {
    expect(countsQuery({ from, to }, NOW)).toEqual({ from, to, step });
  });

  it("goes on where the last time is to come", () => {
    expect(countsQuery({ from: ago(1), to: ago(-1) }, NOW)).toEqual({ from: ago(1), step: "minute" });
  });

  it("is at most 90 days, and something where the times are in the wrong order", () => {
    expect(countsQuery({ from: "2001-01-01T00:00:00Z" }, NOW).from).toBe(ago(90 * 24));
    const turned = countsQuery({ from: ago(1), to: ago(2) }, NOW);
    expect(Date.parse(turned.from)).toBeLessThan(Date.parse(turned.to ?? ""));
  });
});

it("steps without a call are there, and a day that begins earlier is in the first", () => {
  const answer = {
    from: "2026-03-10T10:00:00Z",
    to: "2026-03-10T12:30:00Z",
    items: [
      { from: "2026-03-10T00:00:00Z", calls: 1, errors: 0, runs: 3, run_errors: 1 },
      { from: "2026-03-10T12:00:00Z", calls: 2, errors: 1, runs: 0, run_errors: 0 },
    ],
  };
  expect(runCounts(answer, "hour").map(({ all, failed }) => [all, failed])).toEqual([
    [3, 1],
    [0, 0],
    [2, 1],
  ]);
});
