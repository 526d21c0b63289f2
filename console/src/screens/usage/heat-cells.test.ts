import { describe, expect, it } from "vitest";
import { cellsOf, summaryOf } from "./heat-cells";

const heatmap = {
  times: ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"],
  bounds_seconds: [0.001, 0.002, 0.004, 0.008],
  counts: [
    [4, 0, 1],
    [3, 5, 0],
    [0, 0, 2],
  ],
};

describe("a heat map", () => {
  it("has cells with calls, by time", () => {
    expect(cellsOf(heatmap).map(({ column, row, calls }) => [column, row, calls])).toEqual([
      [0, 0, 4],
      [0, 2, 1],
      [1, 0, 3],
      [1, 1, 5],
      [2, 2, 2],
    ]);
  });

  it("says how long most calls took, and how long the slowest", () => {
    expect(summaryOf(heatmap)).toEqual({
      all: 15,
      most: { row: 0, calls: 7 },
      slowest: { row: 2, calls: 3, column: 2 },
    });
  });

  it("without calls says nothing", () => {
    expect(summaryOf({ times: ["a", "b"], bounds_seconds: [], counts: [[]] })).toBeNull();
  });
});
