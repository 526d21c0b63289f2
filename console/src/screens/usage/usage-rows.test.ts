import { describe, expect, it } from "vitest";
import { codesOf, csvOf, peakOf, type UsageItem } from "./usage-rows";

describe("a CSV file", () => {
  it("quotes what has commas or quotes, and runs no formula", () => {
    expect(
      csvOf(
        ["a", "b"],
        [
          ['x,"y"', "=1+1"],
          [null, -2],
        ],
      ),
    ).toBe('a,b\r\n"x,""y""",\'=1+1\r\n,-2\r\n');
  });
});

describe("errors by code", () => {
  it("are added up, the most frequent first", () => {
    const items = [
      { errors_by_code: { a: 1, b: 5 } },
      { errors_by_code: { a: 2 } },
    ] as unknown as UsageItem[];
    expect(codesOf(items)).toEqual([
      { code: "b", errors: 5 },
      { code: "a", errors: 3 },
    ]);
  });
});

describe("the peak", () => {
  it("is the largest value, and ignores what has none", () => {
    expect(peakOf([1, 3, null, 2], (item) => item)).toBe(3);
    expect(peakOf<number | null>([null], (item) => item)).toBeUndefined();
  });
});
