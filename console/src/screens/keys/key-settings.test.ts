import { describe, expect, it } from "vitest";
import { isLimit, keyBody, NEW_KEY, opensOne } from "./key-settings";

const NOW = new Date("2026-11-26T12:00:00Z");

describe("the body of a request for a key", () => {
  it("has no deployments where the scope takes none", () => {
    const settings = { ...NEW_KEY, name: " ci ", scope: "manage" as const, deployments: ["one"] };
    expect(keyBody(settings, NOW)).toMatchObject({ name: "ci", scope: "manage", deployments: null });
  });

  it("has null for what is empty, and numbers for limits", () => {
    const settings = { ...NEW_KEY, limits: { ...NEW_KEY.limits, calls_per_day: " 500 " } };
    const { environment, limits } = keyBody(settings, NOW);
    expect(environment).toBeNull();
    expect(limits).toMatchObject({ calls_per_day: 500, calls_per_minute: null });
  });

  it("leaves an expiry alone, removes it, or sets it in days", () => {
    expect(keyBody({ ...NEW_KEY, expiry: "keep" }, NOW)).not.toHaveProperty("expires_at");
    expect(keyBody(NEW_KEY, NOW).expires_at).toBeNull();
    expect(keyBody({ ...NEW_KEY, expiry: "7" }, NOW).expires_at).toBe("2026-12-03T12:00:00.000Z");
  });
});

describe("a limit", () => {
  it.each(["", "1", " 20 ", "999999999"])("may be '%s'", (text) => expect(isLimit(text)).toBe(true));
  it.each(["0", "-1", "1.5", "many", "1e3"])("is not '%s'", (text) => expect(isLimit(text)).toBe(false));
});

describe("a key is for one deployment", () => {
  it.each([
    [null, undefined],
    [["a"], { id: "a" }],
    [["a", "b"], undefined],
  ])("%j: %j", (deployments, found) => expect(opensOne({ deployments })).toEqual(found));
});
