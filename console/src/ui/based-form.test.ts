import { expect, it } from "vitest";
import { rebased } from "./based-form";

it("keeps what was changed, on top of what others have changed", () => {
  const base = { name: "a", mode: "sync", ids: ["1"], limits: { day: "1", minute: "" } };
  const form = { ...base, name: "b", ids: [], limits: { day: "2", minute: "" } };
  const fresh = { ...base, mode: "fast", ids: ["1", "2"], limits: { day: "1", minute: "9" } };
  expect(rebased(form, base, fresh)).toEqual({
    name: "b",
    mode: "fast",
    ids: [],
    limits: { day: "2", minute: "9" },
  });
});
