import { expect, it } from "vitest";
import { timingParts } from "./server-timing";

it("reads the parts, the total, and what no part accounts for", () => {
  const { parts, total } = timingParts("auth;dur=0.5, infer;dur=1, total;dur=2");
  expect(parts).toEqual([
    { name: "auth", milliseconds: 0.5 },
    { name: "infer", milliseconds: 1 },
    { name: "other", milliseconds: 0.5 },
  ]);
  expect(total).toBe(2);
});

it("takes headers without parts and without a total, and leaves out what is no duration", () => {
  expect(timingParts("total;dur=3")).toEqual({ parts: [], total: 3 });
  expect(timingParts("")).toEqual({ parts: [], total: null });
  expect(timingParts('cache;desc="hit", run;dur=x')).toEqual({ parts: [], total: null });
});
