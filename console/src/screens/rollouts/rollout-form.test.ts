import { expect, test } from "vitest";
import { NEW_ROLLOUT, rolloutBody, withStrategy, wrongFields } from "./rollout-form";

test("what is not changed is sent as the gateway's defaults", () => {
  expect(wrongFields(NEW_ROLLOUT)).toEqual(new Set());
  expect(rolloutBody(NEW_ROLLOUT)).toEqual({
    strategy: "canary",
    weight: 10,
    checks: { max_error_increase: 0.02, max_latency_ratio: 2, tolerance: null, max_different: 0.01 },
  });
});

test("a version, a tolerance and a time are sent when they are chosen", () => {
  const form = { ...NEW_ROLLOUT, version: "3", tolerance: "1e-3", latency: " ", promoteAfter: "10" };
  expect(rolloutBody({ ...form, strategy: "shadow", errors: "0.7" })).toEqual({
    strategy: "shadow",
    weight: 10,
    version: 3,
    checks: { max_error_increase: 0.007, max_latency_ratio: null, tolerance: 0.001, max_different: 0.01 },
    promote_after_seconds: 600,
  });
});

test.each([
  ["weight", "0"],
  ["weight", "100"],
  ["weight", "1.5"],
  ["weight", ""],
  ["errors", "101"],
  ["errors", ""],
  ["latency", "0.5"],
  ["latency", "x"],
  ["tolerance", "-1"],
  ["different", "-0.1"],
  ["promoteAfter", "0"],
  ["promoteAfter", "1.5"],
  ["promoteAfter", "43201"],
] as const)("%s cannot be %s", (field, value) => {
  expect(wrongFields({ ...NEW_ROLLOUT, [field]: value })).toEqual(new Set([field]));
});

test("a shadow compares outputs unless that was turned off", () => {
  const shadow = { ...NEW_ROLLOUT, ...withStrategy(NEW_ROLLOUT, "shadow") };
  expect(shadow).toMatchObject({ strategy: "shadow", tolerance: "0.001" });
  expect(withStrategy(shadow, "canary")).toEqual({ strategy: "canary", tolerance: "" });
  expect(withStrategy({ ...shadow, tolerance: "0.5" }, "canary")).toEqual({ strategy: "canary" });
});

test("a shadow may get a copy of every call", () => {
  expect(wrongFields({ ...NEW_ROLLOUT, strategy: "shadow", weight: "100" })).toEqual(new Set());
});
