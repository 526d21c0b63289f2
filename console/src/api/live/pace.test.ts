import { expect, it } from "vitest";
import { LONGEST_MILLISECONDS, pauseAfter } from "./pace";

it.each([
  [0, 1000],
  [50, 1000],
  [150, 3000],
  [1499, 29_980],
  [5000, LONGEST_MILLISECONDS],
])("a refresh that took %d ms is followed by the next after %d ms", (took, pause) => {
  expect(pauseAfter(took)).toBe(pause);
});
