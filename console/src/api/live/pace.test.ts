import { expect, it } from "vitest";
import { LONGEST_MILLISECONDS, pauseAfter } from "./pace";

it.each([
  [0, 1000],
  [20, 1000],
  [60, 3000],
  [599, 29_950],
  [5000, LONGEST_MILLISECONDS],
])("a refresh that took %d ms is followed by the next after %d ms", (took, pause) => {
  expect(pauseAfter(took)).toBe(pause);
});
