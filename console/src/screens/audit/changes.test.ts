import { describe, expect, it } from "vitest";
import { changesOf } from "./changes";
import { auditFilters, auditQuery } from "./filters";

it("a change has each field once, with what it was and is", () => {
  expect(changesOf({ name: "a", limits: { calls_per_day: 5 } }, { name: "b", environment: null })).toEqual([
    { field: "environment", before: null, after: "null" },
    { field: "limits", before: '{"calls_per_day":5}', after: null },
    { field: "name", before: "a", after: "b" },
  ]);
});

it("what is made or deleted has no fields without a value", () => {
  const made = { name: "a", environment: null };
  expect(changesOf(null, made).map(({ field }) => field)).toEqual(["name"]);
  expect(changesOf(made, null).map(({ field }) => field)).toEqual(["name"]);
});

describe("filters of the audit log", () => {
  it("leave out what is none", () => {
    const search = { action: "", subject_kind: "planet", from: "soon", to: "2026-02-31x", everyone: "yes" };
    expect(auditFilters(search)).toEqual({});
  });

  it("become times at midnight", () => {
    const filters = auditFilters({ action: "api_key.rotate", from: "2026-11-01", everyone: true });
    expect(auditQuery(filters)).toEqual({
      action: "api_key.rotate",
      from: "2026-11-01T00:00:00Z",
      everyone: true,
    });
  });
});
