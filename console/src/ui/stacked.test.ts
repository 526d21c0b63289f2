import { expect, it } from "vitest";
import { stacked } from "./stacked";

it("each series begins where the one before it ends", () => {
  expect(
    stacked([
      [1, null, null],
      [2, 3, null],
      [null, 1, null],
    ]),
  ).toEqual([
    [1, null, null],
    [3, 3, null],
    [3, 4, null],
  ]);
});
