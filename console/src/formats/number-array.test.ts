import { describe, expect, it } from "vitest";
import { parseJson } from "./lossless-json";
import { numberArray } from "./number-array";

describe("an array of numbers", () => {
  it.each([
    ["[1, 2, 6]", { shape: [3], min: 1, max: 6, mean: 3 }],
    ["[[1, 2], [3, 4], [-5, 1]]", { shape: [3, 2], min: -5, max: 4, mean: 1 }],
  ])("%s has a shape, a minimum, a maximum and a mean", (text, known) => {
    expect(numberArray(parseJson(text))).toEqual(known);
  });

  it.each(["[]", "[[1], [2, 3]]", '[1, "2"]', "[1, [2]]", "{}", "3", "[null]"])("is not %s", (text) => {
    expect(numberArray(parseJson(text))).toBeNull();
  });
});
