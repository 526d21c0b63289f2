import { describe, expect, it } from "vitest";
import { changed, readRunSearch } from "./run-search";

describe("the filters in a URL", () => {
  it("are read by their types", () => {
    const search = {
      deployment: "d",
      flow: "f",
      status: "failed",
      version: 3,
      code: "timeout",
      mode: "sync",
      min_seconds: 0.5,
      test: false,
    };
    const from = "2026-11-30T01:02:03.000Z";
    expect(readRunSearch({ ...search, from })).toEqual({ ...search, from });
  });

  it("are left out where they have no value", () => {
    expect(
      readRunSearch({ status: "odd", version: 1.5, mode: "", min_seconds: -1, from: "then", other: "x" }),
    ).toEqual({});
  });

  it("change one by one", () => {
    expect(changed({ code: "timeout", version: 2 }, "version", undefined)).toEqual({ code: "timeout" });
    expect(changed({}, "status", "failed")).toEqual({ status: "failed" });
  });
});
